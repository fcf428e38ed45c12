"""SOAP fingerprints against DScribe with all elements at once."""

import sys

import numpy as np
import pytest
from ase import Atoms

from prototype_toys import PROTOTYPES
from structure_toys import CRYSTALS, DESCRIPTIONS
from xtalshift.errors import ConfigError, DataError
from xtalshift.structure import Structures, soap
from xtalshift.structure.soap import CUTOFF, L_MAX, N_MAX, soap_fingerprints, why_no_soap

ROWS = Structures.join(
    [CRYSTALS["perovskite"], PROTOTYPES["AB2_tP6_136_a_f"], CRYSTALS["rock salt"]]
)


def test_they_are_those_of_dscribe_with_all_elements():
    from dscribe.descriptors import SOAP

    found = soap_fingerprints(ROWS)
    maker = SOAP(
        r_cut=CUTOFF, n_max=N_MAX, l_max=L_MAX, species=[8, 11, 17, 22, 38], periodic=True,
        average="inner",
    )  # fmt: skip
    expected = []
    for row, (a, b) in enumerate(zip(ROWS.starts[:-1], ROWS.starts[1:], strict=True)):
        atoms = Atoms(
            ROWS.z[a:b].astype(int), scaled_positions=ROWS.positions[a:b],
            cell=ROWS.lattices[row], pbc=True,
        )  # fmt: skip
        expected.append(maker.create(atoms))
    pairs = [(8, 8), (8, 22), (8, 38), (11, 11), (11, 17), (17, 17), (22, 22), (22, 38), (38, 38)]
    columns = np.concatenate([np.arange(maker.get_number_of_features())[maker.get_location(pair)]
                              for pair in pairs])  # fmt: skip
    assert found.shape == (3, 5 * 252 + 4 * 448)
    np.testing.assert_allclose(found.toarray(), np.array(expected)[:, columns], rtol=1e-9)
    assert np.all(np.delete(np.array(expected), columns, axis=1) == 0)


@pytest.mark.parametrize("describe", DESCRIPTIONS)
def test_another_description_has_the_same_one(describe):
    rows = Structures.join([ROWS.take([1]), describe(ROWS.take([1]), np.random.default_rng(0))])
    one, other = soap_fingerprints(rows).toarray()
    np.testing.assert_allclose(one, other, atol=1e-6 * np.abs(one).max())


def test_few_makers_are_kept(monkeypatch):
    expected = soap_fingerprints(ROWS).toarray()
    monkeypatch.setattr(soap, "_KEPT", 1)
    assert np.array_equal(soap_fingerprints(ROWS).toarray(), expected)


def test_what_has_none():
    rows = Structures.join([Structures.none(1), CRYSTALS["alloy"], CRYSTALS["copper"]])
    reasons = why_no_soap(rows)
    assert reasons[0] == "no crystal structure"
    assert reasons[1].startswith("a site is not fully occupied, and SOAP needs whole atoms")
    assert reasons[2] == ""
    with pytest.raises(DataError, match="row 1: no crystal structure"):
        soap_fingerprints(rows)
    assert soap_fingerprints(Structures.none(0)).shape == (0, 0)


def test_without_dscribe_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dscribe.descriptors", None)
    with pytest.raises(ConfigError, match=r"pip install \"xtalshift\[soap\]\""):
        soap_fingerprints(ROWS)
