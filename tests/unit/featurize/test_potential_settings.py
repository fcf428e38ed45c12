"""The settings behind the name of a block of a potential."""

import pytest

from xtalshift.errors import ConfigError
from xtalshift.featurize.blocks import combine, needs_structures, split_blocks
from xtalshift.featurize.potential_settings import read_settings


@pytest.mark.parametrize(
    ("text", "layers", "poolings"),
    [
        ("", (3,), ("mean",)),
        ("c2", (2,), ("mean",)),
        ("c1-c4", (1, 2, 3, 4), ("mean",)),
        ("c2-c2", (2,), ("mean",)),
        ("mean-std", (3,), ("mean", "std")),
        ("max", (3,), ("max",)),
        ("by-element", (3,), ("by-element",)),
        ("c1-c2-std-by-element-max", (1, 2), ("std", "by-element", "max")),
    ],
)
def test_what_is_read(text, layers, poolings):
    found = read_settings("chgnet", text, usual=3, deepest=4)
    assert (found.layers, found.poolings) == (layers, poolings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("c5", "chgnet:c5: no such convolutions. Known: c1 to c4"),
        ("c0", "no such convolutions"),
        ("c3-c1", "no such convolutions"),
        ("c22", "unknown setting 'c22'"),
        ("stf", r"unknown setting 'stf' \(did you mean 'std'"),
        ("mean-", "unknown setting ''"),
        ("std-c2", "unknown setting 'c2'. Known, in this order"),
        ("std-std", "a pooling is named twice"),
        ("by element", "unknown setting 'by element'"),
    ],
)
def test_what_is_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        read_settings("chgnet", text, usual=3, deepest=4)


def test_settings_stand_in_the_names_of_blocks():
    assert split_blocks("structure+chgnet:c1-std") == ("structure", "chgnet:c1-std")
    assert needs_structures("magpie+sevennet:max")
    assert combine("+chgnet:c2", "magpie+chgnet") == "magpie+chgnet:c2"
    with pytest.raises(ConfigError, match="named twice"):
        split_blocks("chgnet+chgnet:c2")
    with pytest.raises(ConfigError, match="'structure' is read from no folder and has no settings"):
        split_blocks("structure:c2")
