"""Encoders: values equal to a slow reference, one row like many, and files that are refused."""

import hashlib
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from encoder_toys import toy_arrays, toy_card, write_toy_encoder
from xtalshift.chem.compositions import parse_formulas
from xtalshift.errors import ModelFormatError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.encoder import (
    ARRAYS_FILE,
    CARD_FILE,
    SHIPPED,
    hash_formulas,
    read_encoder,
    save_encoder,
)
from xtalshift.provenance import hash_file

EXPECTED = [15153447345995555290, 9827744533406405670]
FORMULAS = ["NaCl", "Fe2O3", "He", "Og", "LiFePO4", "CuSO4(H2O)5", "Bi2Sr2CaCu2O8.16", "Ni0.9Fe0.1"]


def slow_features(arrays, formulas):
    """Compute the features in double precision, from the features that users see."""
    x = CompositionFeaturizer("magpie+fractions").transform(formulas)
    mean, gain = arrays["inputs.mean"].astype(float), arrays["inputs.gain"].astype(float)
    h = np.minimum(np.maximum((x - mean) * gain, -5), 5)
    for name in ("first", "second"):
        h = np.maximum(h @ arrays[f"{name}.weight"].astype(float) + arrays[f"{name}.bias"], 0)
    return np.tanh(h @ arrays["output.weight"].astype(float) + arrays["output.bias"])


def encode(encoder, formulas):
    parsed, reasons, _ = parse_formulas(formulas)
    found = encoder.encode(parsed, reasons)
    assert not any(reasons)
    return found


@pytest.mark.parametrize("shipped", [True, False])
def test_features_are_those_of_a_slow_reference(tmp_path, shipped):
    encoder = read_encoder(SHIPPED) if shipped else write_toy_encoder(tmp_path)
    found = encode(encoder, FORMULAS)
    assert found.shape == (8, 96 if shipped else 5)
    np.testing.assert_allclose(found, slow_features(encoder.arrays, FORMULAS), atol=1e-4)


def test_a_row_alone_has_the_bits_that_it_has_among_others():
    encoder = read_encoder(SHIPPED)
    together = encode(encoder, FORMULAS * 20)
    for place, formula in enumerate(FORMULAS):
        for row in (place, place + 8 * 13):
            np.testing.assert_array_equal(encode(encoder, [formula])[0], together[row])
    assert encode(encoder, []).shape == (0, 96)


def test_the_shipped_encoder_knows_its_formulas_and_is_bounded():
    encoder = read_encoder(SHIPPED)
    assert encoder.card.arrays_sha256 == hash_file(SHIPPED / ARRAYS_FILE)
    assert (SHIPPED / ARRAYS_FILE).stat().st_size < 1_000_000
    assert np.abs(encode(encoder, FORMULAS)).max() <= 1
    # all are in the tables, but half of all formulas, by their hashes, are never shown
    common = ["NaCl", "Fe2O3", "SrTiO3", "GaAs", "SiO2", "MgO", "TiO2", "ZnS"]
    shown = hash_formulas(common) >= 2**63
    assert encoder.knows(common).tolist() == shown.tolist()
    assert 0 < shown.sum() < 8
    assert not encoder.knows(["NaCl77", "HeXe3Og", ""]).any()
    names = {table.name: table for table in encoder.card.tables}
    assert {"mp_e_form", "mp_gap", "aflow__Egap"} <= set(names)
    assert all(0 < table.error < 0.6 and table.citation for table in names.values())


def test_hashes_do_not_depend_on_process_or_place():
    expected = [
        int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
        for text in (b"NaCl", b"Fe2O3")
    ]
    assert hash_formulas(["NaCl", "Fe2O3"]).tolist() == expected == EXPECTED
    assert hash_formulas([]).shape == (0,)


def test_knows_finds_exactly_the_formulas(tmp_path):
    encoder = write_toy_encoder(tmp_path, formulas=("NaCl", "Fe2O3", "GaN"))
    assert encoder.knows(["GaN", "KCl", "NaCl", "Fe2O3", "Fe3O2"]).tolist() == [
        True, False, True, True, False,
    ]  # fmt: skip
    assert encoder.properties == "formation energy"
    empty = write_toy_encoder(tmp_path / "none", formulas=())
    assert not empty.knows(["NaCl"]).any()


def test_a_changed_encoder_in_the_same_folder_is_read_again(tmp_path):
    first = write_toy_encoder(tmp_path)
    assert read_encoder(tmp_path) is first
    second = write_toy_encoder(tmp_path, seed=1)
    assert read_encoder(tmp_path).card.arrays_sha256 == second.card.arrays_sha256
    assert second.card.arrays_sha256 != first.card.arrays_sha256


def test_what_is_no_encoder_is_refused(tmp_path):
    with pytest.raises(ModelFormatError, match=r"holds no encoder.*xtalshift pretrain"):
        read_encoder(tmp_path / "missing")
    write_toy_encoder(tmp_path)
    card = json.loads((tmp_path / CARD_FILE).read_text())
    for changed, message in (
        ({**card, "format": "other"}, "does not describe an encoder"),
        ({**card, "format_version": 2}, "format version 2; this version of xtalshift reads 1"),
        ({**card, "tables": "none"}, "is damaged"),
        ({**card, "materials": 7}, "hashes are not those of the formulas"),
        ({**card, "arrays_sha256": "0" * 64}, "was altered"),
    ):
        (tmp_path / CARD_FILE).write_text(json.dumps(changed))
        with pytest.raises(ModelFormatError, match=message):
            read_encoder(tmp_path)
    (tmp_path / CARD_FILE).write_text("{")
    with pytest.raises(ModelFormatError, match="damaged"):
        read_encoder(tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("first.weight", lambda a: a.astype(np.float32), "expected float16"),
        ("second.weight", lambda a: a[:-1], "length 6 where 7"),
        ("output.bias", lambda a: a * np.float16(np.inf), "expected finite numbers"),
        ("inputs.gain", lambda a: -a, "expected finite numbers from 0"),
        ("formulas", lambda a: a[::-1].copy(), "hashes are not those"),
        ("formulas", lambda a: np.repeat(a[:1], len(a)), "hashes are not those"),
    ],
)
def test_forged_arrays_are_refused(tmp_path, name, change, message):
    write_toy_encoder(tmp_path)
    arrays = load_file(tmp_path / ARRAYS_FILE)
    arrays[name] = change(arrays[name])
    save_file(arrays, tmp_path / ARRAYS_FILE)
    card = json.loads((tmp_path / CARD_FILE).read_text())
    card["arrays_sha256"] = hash_file(tmp_path / ARRAYS_FILE)  # as whoever forges it would
    (tmp_path / CARD_FILE).write_text(json.dumps(card))
    with pytest.raises(ModelFormatError, match=message):
        read_encoder(tmp_path)


def test_weights_that_overflow_half_precision_are_not_saved(tmp_path):
    arrays = toy_arrays()
    arrays["first.bias"] = np.full(7, np.inf, dtype=np.float16)
    with pytest.raises(ModelFormatError, match=r"first\.bias.*expected finite numbers"):
        save_encoder(tmp_path, arrays, toy_card(arrays))
