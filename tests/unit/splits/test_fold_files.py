"""Fold files as people write them."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from xtalshift.errors import SplitError
from xtalshift.splits.fold_files import METADATA_KEY, check_formulas, read_folds, read_record

IDS = np.array([f"m{row}" for row in range(6)], object)
PARTS = ["train", "Train", "valid", "ood", "test", ""]


def write(tmp_path, name="folds.csv", **columns):
    path = tmp_path / name
    frame = pd.DataFrame({"id": IDS, "part": PARTS, **columns})
    frame.to_csv(path, index=False) if name.endswith("csv") else frame.to_parquet(path)
    return path


@pytest.mark.parametrize("name", ["folds.csv", "folds.parquet"])
def test_parts_by_their_usual_names(tmp_path, name):
    (fold,) = read_folds(write(tmp_path, name), IDS[::-1])[""]
    found = {part: rows.tolist() for part, rows in fold.parts.items()}
    assert found == {"train": [4, 5], "val": [3], "target": [], "test": [1, 2]}
    assert fold.name == "fold 0"
    assert read_record(tmp_path / name) is None


def test_folds_and_schemes_in_the_order_of_the_file(tmp_path):
    path = write(
        tmp_path, fold=[1.0, 1.0, 0.0, 1.0, 0.0, 0.0], scheme=["b", "b", "a", "b", "a", "a"]
    )
    found = read_folds(path, IDS)
    assert {name: [fold.name for fold in folds] for name, folds in found.items()} == {
        "b": ["fold 1"], "a": ["fold 0"]
    }  # fmt: skip
    assert list(read_folds(path, IDS, scheme="a")) == ["a"]
    with pytest.raises(SplitError, match=r"has no scheme 'c'\. Schemes: b, a"):
        read_folds(path, IDS, scheme="c")


def test_target_labels_stand_in_the_order_of_their_budgets(tmp_path):
    parts = ["train", "target", "target", "target", "test", "test"]
    path = write(tmp_path, part=parts, budget=[0, 4, 2, 4, 0, 0])
    (fold,) = read_folds(path, IDS)[""]
    assert fold.target.tolist() == [2, 1, 3]


def test_inner_folds_are_left_out(tmp_path):
    outer, inner = (pd.DataFrame({"id": IDS, "part": PARTS, "inner": i}) for i in (-1, 0))
    path = tmp_path / "nested.csv"
    pd.concat([outer, inner]).to_csv(path, index=False)
    (fold,) = read_folds(path, IDS)[""]
    assert len(fold.train) == 2


@pytest.mark.parametrize(
    ("columns", "ids", "message"),
    [
        ({"part": ["train"] * 5 + ["holdout"]}, IDS, "part 'holdout' is none of train"),
        ({"id": ["m0", "m1", "m2", "m3", "m4", "x"]}, IDS, "1 of 6 ids .* such as 'x'"),
        ({"id": ["m0"] * 6}, IDS, "id 'm0' is twice in the same part of a fold"),
        ({"fold": [0, 0, 0, 1, None, 1]}, IDS, "1 rows have no fold, the first with id 'm4'"),
        ({}, np.array(["m0"] * 6, object), "id 'm0' is in more than one row of the table"),
    ],
)
def test_files_that_cannot_be_meant(tmp_path, columns, ids, message):
    with pytest.raises(SplitError, match=message):
        read_folds(write(tmp_path, **columns), ids)


def test_a_file_of_something_else(tmp_path):
    path = tmp_path / "other.csv"
    pd.DataFrame({"formula": ["LiF"], "part": ["test"]}).to_csv(path, index=False)
    with pytest.raises(SplitError, match="has no column 'id'; folds have the columns id, part"):
        read_folds(path, IDS)


@pytest.mark.parametrize("n_wrong", [0, 1, 2, 3])
def test_formulas_that_differ_are_told_and_many_are_refused(tmp_path, n_wrong):
    ids = np.array([f"m{row}" for row in range(20)], object)
    formulas = np.array([f"Li{row + 1}O" for row in range(20)], object)
    stored = formulas.copy()
    stored[:n_wrong] = "NaCl"
    stored[19] = "O2Li40"  # another spelling of Li20O
    path = tmp_path / "split.csv"
    pd.DataFrame({"id": ids, "formula": stored}).to_csv(path, index=False)
    said = f"{n_wrong} of 20 formulas in split.csv are not those of the table, such as id m0: NaCl"
    if n_wrong > 2:
        with pytest.raises(SplitError, match=said):
            check_formulas(path, ids, formulas)
    else:
        text = check_formulas(path, ids, formulas)
        assert text.startswith(said) if n_wrong else text == ""


def test_an_infinite_fold_is_a_name(tmp_path):
    (fold,) = read_folds(write(tmp_path, "f.parquet", fold=[np.inf] * 6), IDS)[""]
    assert fold.name == "fold inf"


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"version": "1"}', '{"scheme": "random", "seeed": 1}']
)
def test_damaged_settings_in_a_split_name_the_file(tmp_path, text):
    path = write(tmp_path, "f.parquet")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: text}), path)
    with pytest.raises(SplitError, match=r"f\.parquet: the settings of the split in it"):
        read_record(path)
