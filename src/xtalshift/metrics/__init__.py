"""Errors of predictions, always beside those of a constant, and what they say of methods."""

from xtalshift.metrics.bootstrap import Interval, bootstrap_mean
from xtalshift.metrics.intervals import IntervalScores, interval_scores, normal_interval
from xtalshift.metrics.labels import forgetting, label_efficiency
from xtalshift.metrics.ranking import (
    Side,
    TailScores,
    extrapolative_precision,
    spearman,
    tail_scores,
)
from xtalshift.metrics.regression import RegressionScores, regression_scores
from xtalshift.metrics.stats import (
    Comparison,
    PairedTest,
    average_ranks,
    cliques,
    compare_all,
    critical_difference,
    friedman_p,
    paired_test,
    win_tie_loss,
)

__all__ = [
    "Comparison",
    "Interval",
    "IntervalScores",
    "PairedTest",
    "RegressionScores",
    "Side",
    "TailScores",
    "average_ranks",
    "bootstrap_mean",
    "cliques",
    "compare_all",
    "critical_difference",
    "extrapolative_precision",
    "forgetting",
    "friedman_p",
    "interval_scores",
    "label_efficiency",
    "normal_interval",
    "paired_test",
    "regression_scores",
    "spearman",
    "tail_scores",
    "win_tie_loss",
]
