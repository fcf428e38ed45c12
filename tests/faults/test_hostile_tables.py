"""A damaged or odd file of input gives one line that names it, or an output with all rows."""

import os
import random
from collections import Counter
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faults.table_mutations import DONE, REFUSED, attempts, make_files
from faults.trying import try_each
from xtalshift.data import iter_raw, read_frame

KINDS = ("tables", "splits", "settings")
QUICK, LONG = 3, 20_000
"""Mutations of each file in the quick corpus; of all together in the long one."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    make_files(folder)
    return folder


def check(place, tasks):
    counts, faults = Counter(), []
    for task, result in try_each(partial(attempts, place), tasks):
        counts[result if result in {REFUSED, DONE} else "fault"] += 1
        if result not in {REFUSED, DONE}:
            faults.append((*task, result))
    assert not faults, faults[:20]
    assert min(counts[REFUSED], counts[DONE]) > len(tasks) / 10  # the mutations are no idle ones


def files_of(place):
    return [(kind, file.name) for kind in KINDS for file in sorted((place / kind).iterdir())]


def test_a_changed_file_is_refused_or_read_whole(place):
    check(place, [(*file, seed) for file in files_of(place) for seed in range(QUICK)])


@pytest.mark.long
@pytest.mark.timeout(0)
def test_a_changed_file_is_refused_or_read_whole_in_many_tries(place):
    first = int(os.environ.get("XTALSHIFT_FUZZ_SEED", "0"))
    rng, files = random.Random(first), files_of(place)
    n = int(os.environ.get("XTALSHIFT_FUZZ_TRIES", LONG))
    check(place, [(*rng.choice(files), 10**6 + first + i) for i in range(n)])


def test_parquet_with_categories_in_several_row_groups_is_read_whole(tmp_path):
    frame = pd.DataFrame({"formula": ["NaCl", "CaO", "ZnS"] * 7, "gap": np.arange(21.0)})
    table = pa.Table.from_pandas(frame.astype({"formula": "category"}))
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=4)
    pd.testing.assert_frame_equal(read_frame(tmp_path / "t.parquet"), frame, check_dtype=False)
    pieces = pd.concat(raw.frame for raw in iter_raw(tmp_path / "t.parquet", 100))
    pd.testing.assert_frame_equal(pieces, frame, check_dtype=False)
