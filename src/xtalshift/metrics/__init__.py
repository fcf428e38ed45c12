"""Scores of predictions beside those of a constant, and statistics that compare methods."""

from xtalshift.metrics.abstention import AbstentionCurve, abstention_curve
from xtalshift.metrics.checks import Side
from xtalshift.metrics.classification import (
    ClassificationScores,
    class_number_error,
    classification_scores,
    confusion_matrix,
)
from xtalshift.metrics.interval_evaluation import IntervalScores, interval_scores
from xtalshift.metrics.label_efficiency import forgetting, label_efficiency
from xtalshift.metrics.power_law import FEWEST_SIZES, PowerLaw, fit_power_law
from xtalshift.metrics.ranking import (
    RankEvidence,
    Regret,
    TailScores,
    TopScores,
    extrapolative_precision,
    rank_evidence,
    regret,
    spearman,
    tail_scores,
    top_scores,
)
from xtalshift.metrics.regression import RegressionScores, regression_scores
from xtalshift.metrics.reliability import Reliability, reliability
from xtalshift.metrics.stats import (
    Comparison,
    Interval,
    PairedTest,
    average_ranks,
    bootstrap_mean,
    cliques,
    compare_all,
    correct_holm,
    corrected_t_test,
    critical_difference,
    friedman_p,
    grouped_t_test,
    paired_test,
    win_tie_loss,
)

__all__ = [
    "FEWEST_SIZES",
    "AbstentionCurve",
    "ClassificationScores",
    "Comparison",
    "Interval",
    "IntervalScores",
    "PairedTest",
    "PowerLaw",
    "RankEvidence",
    "RegressionScores",
    "Regret",
    "Reliability",
    "Side",
    "TailScores",
    "TopScores",
    "abstention_curve",
    "average_ranks",
    "bootstrap_mean",
    "class_number_error",
    "classification_scores",
    "cliques",
    "compare_all",
    "confusion_matrix",
    "correct_holm",
    "corrected_t_test",
    "critical_difference",
    "extrapolative_precision",
    "fit_power_law",
    "forgetting",
    "friedman_p",
    "grouped_t_test",
    "interval_scores",
    "label_efficiency",
    "paired_test",
    "rank_evidence",
    "regression_scores",
    "regret",
    "reliability",
    "spearman",
    "tail_scores",
    "top_scores",
    "win_tie_loss",
]
