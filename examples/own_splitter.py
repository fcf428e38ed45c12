"""A splitter of your own, checked, used with scikit-learn, and audited."""

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_validate

from xtalshift import CompositionFeaturizer, audit_split, load_dataset
from xtalshift.splits import HoldOut
from xtalshift.testing import check_splitter


class HeavyElements(HoldOut):
    """Hold out the formulas whose mean atomic number is above a limit."""

    needs = ("X",)  # looks at the features

    def __init__(self, limit: float = 50.0) -> None:
        self.limit = limit

    def _held_out(self, table):
        return table.X[:, NUMBER] > self.limit

    def describe(self):
        return f"formulas with a mean atomic number above {self.limit:g}"


featurizer = CompositionFeaturizer()
NUMBER = list(featurizer.get_feature_names_out()).index("MagpieData mean Number")
table = load_dataset("ricci_seebeck").take(np.arange(3000))
X, y, groups = featurizer.transform(table.formulas), table.targets, table.formulas

splitter = HeavyElements()
check_splitter(splitter, X, y, groups)
scores = cross_validate(
    RidgeCV(np.logspace(-2, 4, 7)),
    X,
    y,
    groups=groups,
    cv=splitter,
    scoring="neg_mean_absolute_error",
)
(found,) = audit_split(splitter.folds(X, y, groups), X, y, groups).folds
print(f"{found.n_test} rows held out, MAE {-scores['test_score'][0]:.1f} uV/K")
print(f"{', '.join(found.labels)}: AUC {found.auc:.2f}, distance ratio {found.distance_ratio:.2f}")
