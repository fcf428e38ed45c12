"""Blocks of features: names, messages, and a block of one's own."""

import numpy as np
import pytest

from xtalshift.cal.torch_features import TorchFeatures
from xtalshift.errors import ConfigError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.blocks import BLOCKS, Block, split_blocks
from xtalshift.testing import check_featurizer


@pytest.fixture
def own_block():
    def fill(compositions, values, reasons, *, impute_nan):
        assert isinstance(impute_nan, bool)
        values[:, 0] = compositions.sizes
        values[:, 1] = compositions.element_fractions() @ np.arange(1, 119)
        reasons[compositions.contains("U")] = "no uranium here"

    BLOCKS.add("own", Block(("number of elements", "mean number"), fill))
    yield
    BLOCKS.remove("own")


def test_a_block_of_ones_own_stands_alone_and_beside_others(own_block):
    found = CompositionFeaturizer("own").featurize(["NaCl", "Fe2O3", "UO2", "Xx"])
    assert found.names == ("number of elements", "mean number")
    np.testing.assert_allclose(found.values[:2], [[2, 14], [2, (2 * 26 + 3 * 8) / 5]])
    assert np.isnan(found.values[2:]).all()
    assert found.reasons[2] == "no uranium here"
    joined = CompositionFeaturizer("fractions+own+magpie")
    parts = [CompositionFeaturizer(name) for name in ("fractions", "own", "magpie")]
    texts = ["NaCl", "Fe2O3"]
    np.testing.assert_array_equal(
        joined.transform(texts), np.hstack([part.transform(texts) for part in parts])
    )
    check_featurizer(joined)


def test_an_attack_on_compositions_refuses_a_block_without_gradient(own_block):
    with pytest.raises(ConfigError, match=r"block 'own' has no gradient.*use magpie or fractions"):
        TorchFeatures(CompositionFeaturizer("magpie+own"))


def test_wrong_names_are_refused():
    assert split_blocks("magpie+fractions") == ("magpie", "fractions")
    with pytest.raises(ConfigError, match=r"unknown block 'magpy' \(did you mean 'magpie'"):
        split_blocks("fractions+magpy")
    with pytest.raises(ConfigError, match=r"unknown block ''\. Known: magpie, fractions"):
        split_blocks("")
    with pytest.raises(ConfigError, match="named twice"):
        split_blocks("magpie+magpie")
