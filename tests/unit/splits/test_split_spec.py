"""The settings of a split: which values are refused."""

import pytest

from xtalshift.errors import ConfigError
from xtalshift.splits.split_spec import SplitSpec


@pytest.mark.parametrize("name", ["thin", "min_distance"])
def test_a_composition_distance_is_above_0_and_at_most_1(name):
    assert getattr(SplitSpec.from_dict({name: 1.0}), name) == 1.0
    for value in (0.0, 1.01):
        with pytest.raises(ConfigError, match=name):
            SplitSpec.from_dict({name: value})


def test_a_validation_share_is_below_1_and_may_be_0():
    assert SplitSpec.from_dict({"validation_share": 0.0}).validation_share == 0.0
    for value in (-0.01, 1.0):
        with pytest.raises(ConfigError, match="validation_share"):
            SplitSpec.from_dict({"validation_share": value})
