import numpy as np
import pytest

from xtalshift.data import Dataset
from xtalshift.data.cut_classes import cut_classes
from xtalshift.errors import ConfigError

DATA = Dataset.of(["Cu", "Si", "GaAs", "NaCl"], [0.0, 1.1, 2.0, 8.5], unit="eV")


def test_a_cut_belongs_to_the_range_below_it():
    found = cut_classes(DATA, [0, 2], ["metal", "narrow", "wide"], ordered=True)
    assert found.labels.tolist() == ["metal", "narrow", "narrow", "wide"]
    assert found.task == "ordinal"
    assert found.unit == ""
    assert DATA.classes is None
    assert cut_classes(DATA, [1.5]).classes == ("up to 1.5", "above 1.5")


def test_an_unknown_number_is_no_class():
    data = Dataset.of(["Cu", "Si"], [np.nan, 1.0])
    np.testing.assert_array_equal(cut_classes(data, [0]).y, [np.nan, 1.0])


@pytest.mark.parametrize(
    ("cuts", "names", "text"),
    [
        ([], (), "expected numbers that ascend"),
        ([2, 0], (), "expected numbers that ascend"),
        ([0, np.inf], (), "expected numbers that ascend"),
        ([0], ("a",), "1 cuts make 2 classes, not a"),
        ([0], ("a", "a"), "1 cuts make 2 classes, not a, a"),
    ],
)
def test_cuts_that_make_no_classes_are_refused(cuts, names, text):
    with pytest.raises(ConfigError, match=text):
        cut_classes(DATA, cuts, names)


def test_classes_are_not_cut():
    with pytest.raises(ConfigError, match="is a class already"):
        cut_classes(Dataset.of(["Cu", "Si"], ["a", "b"]), [0])
