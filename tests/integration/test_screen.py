"""`xtalshift screen`: real processes that are killed, a Ray cluster, and the command line."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from integration.tables import make_rows

COMMAND = [sys.executable, "-c", "from xtalshift.cli.main import main; main()"]
OPTIONS = ("--distinct", "--top", "7", "--lowest")


@pytest.fixture(scope="module")
def candidates(tmp_path_factory):
    """Return a Parquet file of 3,000 formulas, every fifth of which came before."""
    names = [row[1] for row in make_rows(150)]
    formulas = [f"{names[n % 150]}{1 + n // 150 % 16}" for n in range(3000)]
    path = tmp_path_factory.mktemp("candidates") / "in.parquet"
    pd.DataFrame({"formula": formulas, "n": range(3000)}).to_parquet(path, row_group_size=700)
    return path


@pytest.fixture(scope="module")
def undisturbed(model, candidates, tmp_path_factory):
    from xtalshift.screening.settings import ScreenSettings
    from xtalshift.screening.stream import screen

    out = tmp_path_factory.mktemp("undisturbed") / "out"
    values = {"distinct": True, "top": {"k": 7, "lowest": True}}
    for chunk_rows in (20, 500):
        settings = ScreenSettings.from_dict({**values, "chunk_rows": chunk_rows})
        screen(model, [candidates], out / str(chunk_rows), settings)
    return out


def hashes(folder):
    paths = [*sorted((folder / "parts").iterdir()), folder / "top.csv"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def start(*arguments):
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def children(pid):
    found = subprocess.run(
        ["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout.split()
    parents = dict(zip(found[::2], found[1::2], strict=True))
    below = {str(pid)}
    while new := {one for one, parent in parents.items() if parent in below} - below:
        below |= new
    return {int(one) for one in below} - {pid}


def test_a_killed_screening_continues_to_the_same_bytes(
    model, candidates, tmp_path, undisturbed, xtalshift
):
    out = tmp_path / "out"
    command = ("screen", model, candidates, "-o", out, "--chunk-rows", 20, *OPTIONS, "--workers")
    process = start(*command, 2)
    try:
        while len(list((out / "parts").glob("part*"))) < 20:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        workers = children(process.pid)
    finally:
        process.kill()
    process.communicate(timeout=60)
    assert not (out / "screen.json").exists()
    assert len(workers) >= 2
    begun = time.monotonic()
    while alive := [pid for pid in workers if is_running(pid)]:  # they end with the driver
        assert time.monotonic() - begun < 20, alive
        time.sleep(0.05)
    done = xtalshift(*command, 1, "--resume")
    assert done.code == 0, done.err
    assert "continuing behind row" in done.err
    assert "2,400 of 3,000 rows predicted, 600 duplicates" in done.out
    assert hashes(out) == hashes(undisturbed / "20")


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_two_ray_workers_give_the_same_bytes(
    model, candidates, tmp_path, undisturbed, xtalshift, monkeypatch
):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    out = tmp_path / "out"
    done = xtalshift(
        "screen", model, candidates, "-o", out, "--chunk-rows", 500, "--executor", "ray",
        "--workers", 2, *OPTIONS,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert not ray.is_initialized()
    gc.collect()  # Ray closes neither its files nor its processes
    assert hashes(out) == hashes(undisturbed / "500")


def test_standard_input(model, tmp_path, xtalshift):
    out = tmp_path / "out"
    done = subprocess.run(
        [*COMMAND, "screen", str(model), "-", "-o", str(out), "--workers", "1", "--keep", "ok",
         "--chunk-rows", "2", "--top", "2"],
        input=b"formula\nGaN\n\nZn\xffO\nAlN\r\nInP", capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert b"3 of 5 rows predicted, 2 with an error" in done.stdout
    parts = sorted((out / "parts").iterdir())
    found = pd.concat(map(pd.read_parquet, parts))["formula"].tolist()
    assert found == ["GaN", "AlN", "InP"]
    top = pd.read_csv(out / "top.csv")
    assert top["prediction"].is_monotonic_decreasing
    assert set(top["input_row"]) < {1, 4, 5}
    again = xtalshift("screen", model, "-", "-o", out, "--workers", 1, "--keep", "ok",
                      "--chunk-rows", 2, "--top", 2)  # fmt: skip
    assert again.code == 1
    assert "cannot be read again from the start; give --overwrite" in again.err


def test_a_model_with_conditions(warm_model, tmp_path, xtalshift):
    path = tmp_path / "in.jsonl"
    rows = [("GaN", 300), ("GaN", 400), ("Ga2N2", "300"), ("GaN", None)]
    path.write_text("\n".join(json.dumps({"formula": f, "temperature": t}) for f, t in rows))
    out = tmp_path / "out"
    done = xtalshift("screen", warm_model, path, "-o", out, "--workers", 1, "--distinct")
    assert done.code == 0, done.err
    found = pd.read_parquet(out / "parts")
    assert found["status"].tolist() == ["ok", "ok", "duplicate", "error"]
    assert found["prediction"].diff()[1] > 0.1
    assert "'temperature' is missing" in found["reason"][3]
    path.write_text('{"formula": "GaN"}\n')
    done = xtalshift("screen", warm_model, path, "-o", out, "--workers", 1, "--overwrite")
    assert done.code == 1
    assert f"needs a column 'temperature', which {path.name} does not have" in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--lowest",), "need --top K"),
        (("--diverse", "family", "--max-ood", 0.5), "--max-ood, --diverse need --top K"),
        (("--top", 3, "--per-group", 2), "per_group = 2 needs groups: diverse ="),
        (("--top", 3, "--diverse", "colour"), "setting 'top.diverse' = 'colour'"),
        (("--top", 3, "--min-plausibility", 2), "setting 'top.min_plausibility' = 2"),
        (("--top", 3, "--max-above-hull", 0.1), "needs a model of formation energies: --stab"),
        (("--keep", "top"), "keep = 'top' needs the number of rows to keep"),
        (("--top", 3, "--by", "probability"), "a class (--class), and nothing else does"),
        (("--top", 3, "--by", "size"), "setting 'top.by' = 'size'"),
        (("--intervals", "weighted"), "setting 'intervals' = 'weighted'"),
        (("--resume",), "nothing to resume"),
        (("--resume", "--overwrite"), "contradict each other"),
        (("--executor", "dask"), "Known: local, ray"),
        (("--level", "90"), "level=90.0: expected a share between 0 and 1"),
        (("--top", 3, "--by", "uncertainty"), "all have the same width"),
    ],
)
def test_options_that_do_not_fit(model, candidates, tmp_path, xtalshift, options, message):
    done = xtalshift("screen", model, candidates, "-o", tmp_path / "out", *options)
    assert done.code in {1, 2}  # 2 if a value is not allowed, see test_limits.py
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_a_list_to_act_on(model, tmp_path, xtalshift):
    names = [row[1] for row in make_rows(154)]
    energies = tmp_path / "energies.csv"
    lines = [f"{name}{1 + n % 3},{-1 - n % 7 / 3}" for n, name in enumerate(names)]
    energies.write_text("formula,e_form\n" + "\n".join(lines) + "\n")
    done = xtalshift("train", energies, "--unit", "eV/atom", "--method", "ridge", "-o",
                     tmp_path / "energies")  # fmt: skip
    assert done.code == 0, done.err
    path = tmp_path / "in.csv"
    path.write_text("formula\n" + "".join(f"{name}{n}\n" for name in names for n in (1, 2)))
    out = tmp_path / "out"
    options = (
        "--top", 99, "--lowest", "--diverse", "family", "--per-group", 3, "--min-plausibility",
        0.05, "--stability", tmp_path / "energies", "--stability-table", energies,
        "--max-above-hull", 0.5, "--workers", 1,
    )  # fmt: skip
    done = xtalshift("screen", model, path, "-o", out, *options)
    assert done.code == 0, done.err
    top = pd.read_csv(out / "top.csv")
    assert f"top.csv has {len(top)} rows: no others meet its conditions" in done.err
    assert 10 <= len(top) <= 3 * 9
    assert top["family"].value_counts().max() == 3
    assert top["plausibility"].min() >= 0.05
    assert top["energy_above_known_hull"].max() <= 0.5
    assert (top["n_known_in_system"] == 1).all()
    counts = json.loads((out / "screen.json").read_text())["counts"]
    for name, why in (("implausible", "plausibility below 0.05"), ("above_hull", "than 0.5 ab")):
        assert f"{counts[name]:,} rows that would have entered the table" in done.out
        assert why in done.out
    printed = [line.split() for line in done.out.splitlines()]
    rows = [line for line in printed if line and line[0] in map(str, range(1, 13))]
    assert [line[1] for line in rows[:10]] == top["formula"].tolist()[:10]
    assert "The order of its predictions: Spearman" in done.out
    again = xtalshift("screen", model, path, "-o", out, *options)
    assert "already finished" in again.err
    assert again.out == done.out


def test_what_a_user_must_know_of_a_useless_result(model, tmp_path, xtalshift):
    path = tmp_path / "in.csv"
    path.write_text("formula,gap\nPuTe,1\nXeF2,2\n")
    out = tmp_path / "out"
    done = xtalshift("screen", model, path, "-o", out, "--top", 2, "--in-domain", "--workers", 1)
    assert done.code == 0
    assert "2 of 2 rows predicted; 0 in the domain of the model" in done.out
    assert "no row meets the conditions of top.csv" in done.err
    assert pd.read_csv(out / "top.csv").empty
    done = xtalshift("screen", model, path, "-o", out, "--formula-col", "gap", "--overwrite",
                     "--workers", 1)  # fmt: skip
    assert done.code == 1
    assert "no row could be predicted; the column 'reason'" in done.err
    assert (pd.read_parquet(out / "parts")["status"] == "error").all()
    done = xtalshift("screen", model, path, "-o", model)
    assert done.code == 1
    assert f"{model} is the input, which is kept; choose another output" in done.err
