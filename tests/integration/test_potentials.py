"""Pretrained potentials in commands: training of a head, prediction, and what the audit says."""

import json

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("chgnet")

from polymorph_toys import crystals, write_cif

NAMES, BATCH, VALUES = crystals()
ROWS = np.arange(0, 192, 4)
FINDING = "not an out-of-distribution test: the target is a"


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Return a table of 48 crystals with a formation energy, a volume and a number of nothing."""
    path = tmp_path_factory.mktemp("potentials") / "texts.parquet"
    frame = pd.DataFrame({"id": [NAMES[row] for row in ROWS]})
    frame["e_form"] = frame["gap"] = np.random.default_rng(0).normal(size=len(frame))
    frame["x"] = VALUES[ROWS]  # a number of atoms per volume
    frame["cif"] = [write_cif(BATCH.take([row])) for row in ROWS]
    frame.to_parquet(path)
    return path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XTALSHIFT_CACHE", str(tmp_path_factory.getbasetemp() / "potentials-cache"))


def test_a_head_is_trained_and_predicts(xtalshift, texts, tmp_path):
    model, out = tmp_path / "model", tmp_path / "p.csv"
    method = ("--method", "chgnet-finetune", "--set", "erm.epochs=6", "--threads", "1")
    done = xtalshift(
        "train", texts, "--target", "x", "--structure-col", "cif", *method, "-o", model
    )
    assert done.code == 0, done.err
    assert "CHGNet 0.3.0 was trained on MPtrj" in done.out + done.err
    assert f"{FINDING} volume (by its rank correlation with the volume per atom)" in (
        done.out + done.err
    ).replace("\n", " ")
    done = xtalshift("predict", model, texts, "--structure-col", "cif", "-o", out)
    assert done.code == 0, done.err
    frame = pd.read_csv(out)
    assert frame["status"].eq("ok").all()
    assert frame["lower"].lt(frame["upper"]).all()
    refused = xtalshift(
        "train", texts, "--target", "x", "--structure-col", "cif", *method, "--features",
        "magpie+structure", "-o", tmp_path / "other",
    )  # fmt: skip
    assert refused.code == 1
    assert "add it: --features +sites" in refused.err


@pytest.mark.parametrize(
    ("target", "features", "finding"),
    [
        ("e_form", "+structure+chgnet", f"{FINDING} formation energy (by the name 'e_form')"),
        ("x", "chgnet:c1", f"{FINDING} volume (by its rank correlation with the volume per atom)"),
        ("gap", "+structure+chgnet", ""),
        ("e_form", "+structure", ""),
    ],
)
def test_the_audit_says_what_is_no_test(target, features, finding, xtalshift, texts, tmp_path):
    folds, out = tmp_path / "split.parquet", tmp_path / "audit"
    read = ("--structure-col", "cif")
    made = xtalshift(
        "split",
        texts,
        *read,
        "--scheme",
        "leave-out",
        "-p",
        "by=family",
        "-p",
        "min_rows=5",
        "-o",
        folds,
    )
    assert made.code == 0, made.err
    done = xtalshift(
        "audit", texts, folds, *read, "--target", target, "--features", features, "--quick",
        "-o", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    page = (out / "audit.html").read_text(encoding="utf-8")
    values = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    (cautions,) = (one["cautions"] for one in values["splits"])
    if not finding:
        assert "out-of-distribution test" not in done.out + page
        assert cautions == []
        return
    assert f"Note: {finding}, which follows from what the network of" in done.out
    assert cautions[0].startswith(finding)
    assert "Not an out-of-distribution test: the target is a" in page


def test_the_page_of_a_run_says_it_too(xtalshift, texts, tmp_path, quick):
    out = tmp_path / "run"
    done = xtalshift(
        "run", texts, "--target", "e_form", "--structure-col", "cif", "--features",
        "magpie+structure+chgnet", "--methods", "dummy,ridge", *quick, "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["known_target"][0].startswith(f"{FINDING} formation energy")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Not an out-of-distribution test: the target is a formation energy" in page
    saved = json.loads((out / "model" / "model.json").read_text(encoding="utf-8"))
    assert "MPtrj" in saved["card"]["provenance"]["potentials"]["chgnet"]
