"""Crystal structures in commands: a folder of CIFs, a column of CIF text, files named by ids."""

import numpy as np
import pandas as pd
import pytest

from polymorph_toys import crystals, write_cif, write_folder

NAMES, BATCH, VALUES = crystals()


@pytest.fixture
def tables(tmp_path):
    """Return a folder of CIFs, a table of values by id, and a table with CIF text."""
    folder = write_folder(tmp_path / "cifs", NAMES, BATCH)
    by_id, by_text = tmp_path / "values.csv", tmp_path / "texts.parquet"
    frame = pd.DataFrame({"id": NAMES, "y": VALUES})
    frame.to_csv(by_id, index=False)
    texts = [write_cif(BATCH.take([row])) for row in range(len(BATCH))]
    frame.assign(cif=texts).to_parquet(by_text)
    return folder, by_id, by_text


def test_features_of_a_folder_and_of_a_column_are_the_same(xtalshift, tables, tmp_path):
    folder, by_id, by_text = tables
    made = []
    for number, source in enumerate([(folder,), (by_text,), (by_id, "--structures", folder)]):
        out = tmp_path / f"{number}.parquet"
        done = xtalshift("featurize", *source, "--features", "magpie+structure", "-o", out)
        assert done.code == 0, done.err
        made.append(pd.read_parquet(out))
    first = made[1].drop(columns="formula")
    assert first["status"].eq("ok").all()
    assert len(first) == 192
    volumes = BATCH.volumes / BATCH.sizes
    np.testing.assert_allclose(first["structure volume per atom"], volumes, rtol=1e-6)
    pd.testing.assert_frame_equal(made[2].drop(columns="formula"), first)
    order = np.argsort(NAMES)  # a folder is read in the order of its names
    folded = made[0].drop(columns="formula")
    pd.testing.assert_frame_equal(folded, first.iloc[order].reset_index(drop=True))


def test_from_a_folder_of_files_to_predictions(xtalshift, tables, tmp_path):
    folder, by_id, _ = tables
    model, out = tmp_path / "model", tmp_path / "p.csv"
    trained = xtalshift(
        "train", by_id, "--target", "y", "--structures", folder, "--method", "ridge", "-o", model
    )
    assert trained.code == 0, trained.err
    assert "192 materials" in trained.err + trained.out  # polymorphs are not merged
    done = xtalshift("predict", model, folder, "-o", out)
    assert done.code == 0, done.err
    frame = pd.read_csv(out).set_index("id")
    errors = np.abs(frame.loc[NAMES, "prediction"] - VALUES)
    assert errors.mean() < 0.2 * np.abs(VALUES - VALUES.mean()).mean()
    refused = xtalshift("predict", model, "NaCl")
    assert refused.code == 1
    assert "need a crystal structure" in refused.err + refused.out


def test_a_table_without_structures_is_told(xtalshift, tmp_path):
    formulas = tmp_path / "f.csv"
    pd.DataFrame({"formula": ["NaCl", "KCl"] * 20, "y": range(40)}).to_csv(formulas, index=False)
    done = xtalshift(
        "train", formulas, "--target", "y", "--features", "magpie+structure", "-o", tmp_path / "m"
    )
    assert done.code == 1
    assert "the features need crystal structures, and" in done.err
    assert "--structure-col" in done.err
