"""Sets of hashes against Python's own, and what counts as one material."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from xtalshift.chem.compositions import AS_WRITTEN
from xtalshift.data import RawTable
from xtalshift.data.settings import BY_DEFAULT
from xtalshift.screening.distinct import SeenHashes, hash_rows


@given(st.lists(st.lists(st.integers(0, 30), max_size=20), max_size=12))
def test_against_a_set(chunks):
    seen, known = SeenHashes(), set()
    for chunk in chunks:
        expected = []
        for value in chunk:
            expected.append(value not in known)
            known.add(value)
        assert seen.add(np.array(chunk, dtype=np.uint64)).tolist() == expected
        assert len(seen) == len(known)


def test_few_runs_of_eight_bytes_each():
    seen = SeenHashes()
    rng = np.random.default_rng(0)
    for _ in range(64):
        seen.add(rng.integers(2**63, size=500, dtype=np.uint64))
    runs = seen._runs
    assert len(seen) == 64 * 500
    assert sum(run.nbytes for run in runs) == 8 * len(seen)
    assert len(runs) <= 7
    assert all((run[1:] > run[:-1]).all() for run in runs)


def test_equal_materials_have_equal_hashes():
    frame = pd.DataFrame({"formula": ["NaCl", "Cl2Na2", "Na0.5Cl0.5", "NaCl2", "", "Xx"]})
    hashes, readable = hash_rows(RawTable(frame), BY_DEFAULT, (), AS_WRITTEN)
    assert readable.tolist() == [True, True, True, True, False, False]
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


def test_feature_columns_belong_to_the_material():
    frame = pd.DataFrame({"formula": ["NaCl"] * 3 + ["KCl"], "T": ["300", "300.0", "400", "300"]})
    hashes, _ = hash_rows(RawTable(frame), BY_DEFAULT, ("T",), AS_WRITTEN)
    assert hashes[0] == hashes[1]
    assert len(set(hashes.tolist())) == 3
