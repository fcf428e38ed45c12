"""The block ``pretrained``: names, folders, bad rows, and the overlap with a table."""

import numpy as np
import pytest

from encoder_toys import write_toy_encoder
from xtalshift.cal.torch_features import TorchFeatures
from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import SYMBOLS, load_elements
from xtalshift.errors import ConfigError, ModelFormatError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.blocks import split_blocks
from xtalshift.featurize.magpie import UNKNOWN_CHARGE
from xtalshift.featurize.pretrained import count_overlap, encoder_of
from xtalshift.testing import check_featurizer


def test_the_block_stands_beside_others_and_takes_a_folder(tmp_path):
    encoder = write_toy_encoder(tmp_path / "toy")
    blocks = f"fractions+pretrained:{tmp_path / 'toy'}"
    found = CompositionFeaturizer(blocks).featurize(["NaCl", "Xx", "GaN", None])
    assert found.names[118:] == tuple(f"pretrained {k}" for k in range(5))
    parsed, reasons, _ = parse_formulas(["NaCl", "GaN"])
    np.testing.assert_array_equal(found.values[[0, 2], 118:], encoder.encode(parsed, reasons))
    assert np.isnan(found.values[[1, 3]]).all()
    assert "unknown element" in found.reasons[1]
    assert [bool(reason) for reason in found.reasons] == [False, True, False, True]
    check_featurizer(CompositionFeaturizer(blocks))


def test_a_row_that_is_too_costly_for_magpie_gets_its_reason():
    states = load_elements().oxidation_states
    symbols = [SYMBOLS[z] for z in range(1, 119) if len(states[z]) > 1]
    amounts = np.random.default_rng(0).random(len(symbols))
    many = "".join(f"{s}{a:.9f}" for s, a in zip(symbols, amounts, strict=True))
    found = CompositionFeaturizer("pretrained").featurize(["NaCl", f"{many}O20", "GaN"])
    assert found.reasons.tolist() == ["", UNKNOWN_CHARGE, ""]
    assert np.isnan(found.values).any(axis=1).tolist() == [False, True, False]


def test_imputed_properties_are_counted_also_without_magpie():
    parsed, _, _ = parse_formulas(["NaCl", "OgF2"])
    count = CompositionFeaturizer("pretrained", impute_nan=False).count_imputed(parsed)
    assert count.tolist() == [0, 22]


def test_wrong_places_are_refused(tmp_path):
    assert split_blocks("magpie+pretrained:a/b") == ("magpie", "pretrained:a/b")
    with pytest.raises(ConfigError, match="is read from no folder and has no settings; write magp"):
        split_blocks("magpie:somewhere")
    with pytest.raises(ConfigError, match="named twice"):
        split_blocks("pretrained+pretrained:somewhere")
    with pytest.raises(ConfigError, match=r"unknown block 'pretraind' \(did you mean 'pretrained'"):
        split_blocks("pretraind:somewhere")
    with pytest.raises(ModelFormatError, match="holds no encoder"):
        CompositionFeaturizer(f"pretrained:{tmp_path}").transform(["NaCl"])
    with pytest.raises(ConfigError, match="block 'pretrained' has no gradient"):
        TorchFeatures(CompositionFeaturizer("magpie+pretrained"))


def test_the_overlap_counts_each_material_once(tmp_path):
    encoder = write_toy_encoder(tmp_path, formulas=("NaCl", "Fe2O3", "GaN"))
    formulas = np.array(["NaCl", "NaCl", "KCl", "GaN", "CuZn"], dtype=object)
    found = count_overlap(f"magpie+pretrained:{tmp_path}", formulas)
    assert (found.materials, found.seen) == (4, 2)
    assert found.encoder == encoder.card.arrays_sha256
    assert found.describe() == (
        "2 of 4 materials were seen by the encoder during pretraining (formation energy)"
    )
    assert count_overlap("magpie+fractions", formulas) is None
    assert encoder_of("magpie") is None
