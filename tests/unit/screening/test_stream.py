"""Whole screenings: rows, the same bytes however they run, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from integration.tables import make_rows
from reference.top_list import slow_table
from xtalshift.chem.plausibility import Plausibility
from xtalshift.data import Materials
from xtalshift.data import read_table as read_dataset
from xtalshift.errors import (
    ConfigError,
    DataError,
    ModelFormatError,
    NotConformalizedError,
    WorkerDiedError,
)
from xtalshift.files import lock_folder
from xtalshift.model import FormulaRegressor, load_model, save_model
from xtalshift.model.stability import StabilityProxy
from xtalshift.model.table_predictor import TablePredictor
from xtalshift.parallel import InProcessExecutor
from xtalshift.parallel.executor import Reply
from xtalshift.parallel.processes import ProcessExecutor
from xtalshift.screening import store
from xtalshift.screening.inputs import FormulaSource, InputRecord
from xtalshift.screening.screener import Screener, Sources
from xtalshift.screening.settings import ScreenSettings
from xtalshift.screening.stream import screen

TOP = {"k": 20, "by": "probability", "threshold": 8.0}
SETTINGS = ScreenSettings.from_dict({"chunk_rows": 13, "distinct": True, "top": TOP})


def settings(**values):
    return ScreenSettings.from_dict({"chunk_rows": 13, **values})


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def kill_after(monkeypatch):
    """Return a function that lets a screening die when it writes some chunk, at some point."""

    def call(chunks, point):
        real = {name: getattr(store.ScreenStore, name) for name in ("add", "_append")}
        write = store.replace_file

        def fail_after(function, name):
            def wrapped(self, *args, **kwargs):
                if self.chunks == chunks and point == name:
                    raise KilledError
                return function(self, *args, **kwargs)

            return wrapped

        def replace_file(path, content):
            if point == "write" and path.name == f"part-{chunks:06d}.parquet":
                path.with_name(f".{path.name}.part").write_bytes(content[:50])
                raise KilledError
            write(path, content)

        monkeypatch.setattr(store, "replace_file", replace_file)
        for name, function in real.items():
            monkeypatch.setattr(store.ScreenStore, name, fail_after(function, name))
        return real

    return call


@pytest.fixture
def whole(model, table, tmp_path):
    screen(model, [table], tmp_path / "whole", SETTINGS)
    return tmp_path / "whole"


def test_rows_are_those_of_predict(model, table, tmp_path, read, formulas):
    out = tmp_path / "out"
    summary = screen(model, [table], out, settings())
    found = read(out)
    text = pd.read_csv(table, dtype=str, keep_default_na=False)
    wanted = TablePredictor(load_model(model)).predict(text, "")
    assert list(found.columns) == list(wanted.columns)
    for name in wanted.columns:
        if wanted[name].dtype.kind == "f":
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-9)
        else:
            assert found[name].tolist() == wanted[name].tolist()
    assert summary.counts["rows"] == len(formulas)
    assert summary.counts["errors"] == 2
    written = json.loads((out / "screen.json").read_text())
    ranking = summary.ranking
    assert {**asdict(summary), "ranking": None} == {
        "counts": written["counts"],
        "chunks": written["chunks"],
        "ranking": None,
        **written["host"],
    }
    assert written["ranking"]["spearman"] == ranking.spearman
    assert written["ranking"]["highest"] == ranking.highest._asdict()
    assert written["inputs"][0]["name"] == "candidates.csv"
    sizes = [pq.read_metadata(part).num_rows for part in sorted((out / "parts").iterdir())]
    assert sizes == [13] * 11 + [7]


def test_distinct_marks_later_rows(whole, read, formulas):
    found = read(whole)
    materials = Materials.parse(formulas)
    repeated = pd.Series(materials.groups).duplicated() & (materials.reasons == "")
    assert repeated.sum() > 0
    assert (found["status"] == "duplicate").tolist() == repeated.tolist()
    rows = found[repeated]
    assert rows["prediction"].isna().all()
    assert set(rows["reason"]) == {"an earlier row has the same reduced formula"}
    assert found.loc[70, "status"] == "error"
    assert not rows["in_domain"].any()


def test_top_is_that_of_all_rows(whole, read):
    found = read(whole)
    distance = (found["prediction"] - TOP["threshold"]) / found["std"]
    wanted = distance.nlargest(TOP["k"])
    top = pd.read_csv(whole / "top.csv", keep_default_na=False)
    assert (top["input_row"] - 1).tolist() == wanted.index.tolist()
    assert top["formula"].tolist() == found.loc[wanted.index, "formula"].tolist()
    assert top["probability"].is_monotonic_decreasing


@pytest.mark.parametrize("lowest", [False, True])
def test_probabilities_agree_with_the_intervals_of_the_row(table, tmp_path, lowest):
    """They were those of a normal distribution in the unit of the target."""
    rows = make_rows(120)
    formulas, gaps = [row[1] for row in rows], np.array([row[2] for row in rows])
    fitted = FormulaRegressor("ridge", transform="log", random_state=0)
    fitted.fit(formulas[:80], gaps[:80]).conformalize(formulas[80:], gaps[80:])
    model = save_model(fitted.model_, tmp_path / "model")
    threshold = float(np.median(fitted.predict(formulas)))
    by = {"k": 200, "by": "probability", "threshold": threshold, "lowest": lowest}
    screen(model, [table], tmp_path / "out", settings(level=0.8, top=by))
    top = pd.read_csv(tmp_path / "out" / "top.csv", keep_default_na=False)
    worse, better = top["upper"] < threshold, top["lower"] > threshold
    if lowest:
        worse, better = better, worse
    assert worse.any()
    assert better.any()
    assert (top["probability"][worse] <= 0.1 + 1e-9).all()
    assert (top["probability"][better] >= 0.9 - 1e-9).all()
    unclear = top["probability"][~worse & ~better]
    assert unclear.between(0.1 - 1 / 41, 0.9 + 1 / 41).all()


def test_two_processes_give_the_same_bytes(model, table, tmp_path, whole, hashes):
    screen(model, [table], tmp_path / "two", SETTINGS, executor=ProcessExecutor(workers=2))
    assert hashes(tmp_path / "two") == hashes(whole)
    assert len(hashes(whole)) == 13


@pytest.mark.parametrize("point", ["add", "write", "_append"])
@pytest.mark.parametrize("chunks", [0, 5, 11])
def test_a_killed_screening_continues_to_the_same_bytes(
    model, table, tmp_path, whole, hashes, kill_after, point, chunks, monkeypatch
):
    out = tmp_path / "out"
    kill_after(chunks, point)
    with pytest.raises(KilledError):
        screen(model, [table], out, SETTINGS)
    monkeypatch.undo()
    assert not (out / "screen.json").exists()
    done, real = [], Screener.screen
    monkeypatch.setattr(
        Screener, "screen", lambda self, block: done.append(block.number) or real(self, block)
    )
    summary = screen(model, [table], out, SETTINGS)
    assert done == list(range(chunks, 12))
    assert hashes(out) == hashes(whole)
    assert summary.counts == json.loads((whole / "screen.json").read_text())["counts"]
    assert not list(out.rglob("*.part"))


def test_a_torn_line_or_a_lost_part_is_made_again(model, table, tmp_path, whole, hashes):
    wanted = hashes(whole)
    journal = whole / "checkpoint" / "journal.jsonl"
    with journal.open("r+b") as stream:
        stream.truncate(journal.stat().st_size - 5)
    (whole / "screen.json").unlink()
    screen(model, [table], whole, SETTINGS)
    assert hashes(whole) == wanted
    (whole / "parts" / "part-000004.parquet").unlink()
    screen(model, [table], whole, SETTINGS)
    assert hashes(whole) == wanted


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_an_altered_part_is_made_again(model, table, whole, hashes):
    wanted = hashes(whole)
    flip(whole / "parts" / "part-000002.parquet")
    screen(model, [table], whole, SETTINGS)
    assert hashes(whole) == wanted


@pytest.mark.parametrize("name", ["hashes.u64", "top-*.parquet"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "altered", "foreign"])
def test_state_that_is_gone_or_altered_is_refused(
    model, table, tmp_path, kill_after, monkeypatch, whole, hashes, name, damage
):
    out = tmp_path / "out"
    kill_after(5, "add")
    with pytest.raises(KilledError):
        screen(model, [table], out, SETTINGS)
    monkeypatch.undo()
    (path,) = (out / "checkpoint").glob(name)
    content = path.read_bytes()
    path.unlink()
    if damage == "foreign":
        (other,) = (whole / "checkpoint").glob(name)
        path.write_bytes(other.read_bytes()[: len(content)][::-1])
    elif damage != "gone":
        path.write_bytes(content[: {"empty": 0, "cut": 20}.get(damage)])
    if damage == "altered":
        flip(path)
    with pytest.raises(DataError, match=r"is missing or was altered, so .*; give --overwrite"):
        screen(model, [table], out, SETTINGS)
    screen(model, [table], out, SETTINGS, overwrite=True)
    assert hashes(out) == hashes(whole)


@pytest.mark.parametrize("line", ["null", "[]", "{}", '{"chunk": "x"}', "7", "[" * 100_000])
def test_a_damaged_journal_is_refused(model, table, whole, line):
    journal = whole / "checkpoint" / "journal.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:3], line, *lines[3:]]) + "\n")
    with pytest.raises(DataError, match=r"journal\.jsonl.* damaged .*; give --overwrite to start"):
        screen(model, [table], whole, SETTINGS)


def test_what_is_finished_is_left_alone(model, table, whole, monkeypatch):
    before = (whole / "screen.json").read_bytes()
    monkeypatch.setattr(Screener, "__init__", None)  # nothing is loaded
    screen(model, [table], whole, SETTINGS)
    assert (whole / "screen.json").read_bytes() == before


@pytest.mark.parametrize("keep", ["ok", "top"])
def test_keep(model, table, tmp_path, whole, keep, read, hashes):
    out = tmp_path / "out"
    summary = screen(model, [table], out, settings(distinct=True, top=TOP, keep=keep))
    assert hashes(out)["top.csv"] == hashes(whole)["top.csv"]
    assert summary.counts == json.loads((whole / "screen.json").read_text())["counts"]
    if keep == "top":
        assert not list((out / "parts").iterdir())
        return
    full = read(whole)
    pd.testing.assert_frame_equal(
        read(out), full[full["status"] == "ok"].reset_index(drop=True), check_exact=True
    )


def test_another_screening_in_the_folder_is_refused(model, table, whole, tmp_path):
    def again(text, **changes):
        with pytest.raises(ConfigError, match=text):
            screen(model, [table], whole, SETTINGS.model_copy(update=changes))

    again(r"holds another screening \(chunk_rows: 13 there, 7 now\); choose", chunk_rows=7)
    again(r"distinct: True there, False now", distinct=False)
    again(r"top.k: 20 there, not given now", top=None)
    other = tmp_path / "other.csv"
    other.write_bytes(table.read_bytes() + b"9,GaN\n")
    with pytest.raises(ConfigError, match=r"input 1.name: candidates.csv there, other.csv now"):
        screen(model, [other], whole, SETTINGS)
    with table.open("a") as stream:
        stream.write("9,GaN\n")
    with pytest.raises(ConfigError, match=r"input 1.size: \d+ there, \d+ now; input 1.sha256"):
        screen(model, [table], whole, SETTINGS)
    summary = screen(model, [table], whole, SETTINGS, overwrite=True)
    assert summary.counts["rows"] == 151


def test_another_model_is_refused(table, whole, tmp_path):
    other = FormulaRegressor("dummy").fit(["GaN", "ZnO", "SiC"], [1.0, 2.0, 3.0])
    folder = save_model(other.model_, tmp_path / "other")
    with pytest.raises(ConfigError, match=r"model_sha256: [0-9a-f]{12}\.\.\. there"):
        screen(folder, [table], whole, SETTINGS)
    with pytest.raises(NotConformalizedError, match="--by probability: the model was saved with"):
        screen(folder, [table], tmp_path / "out", SETTINGS)
    with pytest.raises(ModelFormatError, match=r"there is no model\.json"):
        screen(tmp_path, [table], tmp_path / "out", SETTINGS)


def test_a_second_process_is_refused(model, table, tmp_path):
    out = tmp_path / "out"

    class Nosy:
        def say(self, text):
            raise AssertionError(text)

        def task(self, name, total):
            assert (name, total) == ("screen", 150)
            with pytest.raises(ConfigError, match="another process is writing"):
                screen(model, [table], out, SETTINGS)
            raise KilledError

    with pytest.raises(KilledError):
        screen(model, [table], out, SETTINGS, progress=Nosy())


def test_a_folder_of_something_else_is_refused(model, table, tmp_path):
    (tmp_path / "out" / "parts").mkdir(parents=True)
    (tmp_path / "out" / "parts" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"holds parts.mine\.txt but no screening to continue"):
        screen(model, [table], tmp_path / "out", SETTINGS)


@pytest.mark.parametrize("column", ["reason", "input_row"])
def test_columns_that_would_be_added_are_refused(model, tmp_path, column):
    path = tmp_path / "in.csv"
    path.write_text(f"formula,{column}\nGaN,1\n")
    with pytest.raises(DataError, match=f"already has a column '{column}'; rename it"):
        screen(model, [path], tmp_path / "out", SETTINGS)


def test_formulas_of_a_generator_and_of_a_pipe(model, tmp_path, formulas, whole, read):
    endless = FormulaSource(lambda: iter(formulas), "candidates")
    screen(model, [endless], tmp_path / "out", SETTINGS)
    pd.testing.assert_frame_equal(
        read(tmp_path / "out"), read(whole).drop(columns="id"), check_exact=True
    )
    once = FormulaSource(lambda: iter(formulas), "standard input", repeatable=False)
    screen(model, [once], tmp_path / "pipe", SETTINGS)
    with pytest.raises(DataError, match="cannot be read again from the start"):
        screen(model, [once], tmp_path / "pipe", SETTINGS)


def test_no_rows(model, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("formula\n")
    summary = screen(model, [path], tmp_path / "out", settings(top={"k": 3}))
    assert set(summary.counts.values()) == {0}
    assert not (tmp_path / "out" / "top.csv").exists()


def test_garbage_comes_back_in_order_with_a_reason(model, tmp_path, read):
    garbage = [
        "",
        " ",
        "☃ 例 𝔊aN",
        "(" * 1000 + "H" + ")" * 1000,
        "[" * 499 + "H" + "]" * 499,
        "12345.678",
        "'; DROP TABLE formulas; --",
        "a\nb",
        '"',
        "".join(f"Xx{n}" for n in range(200)),
        "Ga" * 500_000,
        "\x1b[31m" + "Q" * 1_000_000,
        "nan",
        "Ga-1",
    ]
    rows = [item for text in garbage for item in ("GaN", text)]
    path = tmp_path / "in.csv"
    pd.DataFrame({"formula": rows}).to_csv(path, index=False, quoting=1)
    screen(model, [path], tmp_path / "out", settings(distinct=True))
    found = read(tmp_path / "out")
    assert found["formula"].tolist() == rows
    assert found["status"].tolist()[:2] == ["ok", "error"]
    assert found["status"].iloc[2::2].eq("duplicate").all()
    # nesting is no fault in itself: hydrogen in 499 brackets is hydrogen
    bad = found.iloc[1::2].drop(index=9)
    assert bad["status"].eq("error").all()
    assert bad["reason"].str.len().between(10, 400).all()
    assert found.loc[9, "status"] == "ok"


class Dying(InProcessExecutor):
    """An executor whose workers die twice at one block, or fail there."""

    def open(self, setup=None, policy=None):
        workers = super().open(setup)
        wait = workers.wait

        def die_at_block_3():
            ((job, reply),) = wait()
            if getattr(job.item, "number", None) == 3:
                reply = self.reply
            return [(job, reply)]

        workers.wait = die_at_block_3
        return workers


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (
            Reply(died="was killed by signal 9 (SIGKILL)"), WorkerDiedError,
            r"chunk 3 \(rows 40 to 52, candidates.csv\): the worker process .*, or smaller",
        ),
        (
            Reply(error=KeyError("gap")), RuntimeError,
            r"chunk 3 \(rows 40 to 52, candidates.csv\): KeyError: 'gap'",
        ),
    ],
)  # fmt: skip
def test_a_block_that_fails_ends_a_screening_that_can_be_continued(
    model, table, tmp_path, whole, hashes, monkeypatch, reply, error, message
):
    monkeypatch.setattr(Dying, "reply", reply, raising=False)
    with pytest.raises(error, match=message):
        screen(model, [table], tmp_path / "out", SETTINGS, executor=Dying())
    screen(model, [table], tmp_path / "out", SETTINGS)
    assert hashes(tmp_path / "out") == hashes(whole)


def test_workers_without_the_files_of_this_machine(model, table, tmp_path, whole, hashes):
    class Remote(InProcessExecutor):
        shares_files = False

        def open(self, setup=None, policy=None):
            model.rename(model.with_name("moved"))
            return super().open(setup)

    try:
        screen(model, [table], tmp_path / "out", SETTINGS, executor=Remote())
    finally:
        model.with_name("moved").rename(model)
    assert hashes(tmp_path / "out") == hashes(whole)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_malformed_line_names_its_chunk(model, tmp_path, workers):
    path = tmp_path / "in.jsonl"
    path.write_text('{"formula": "GaN"}\n' * 1000 + "GaN\n")
    with pytest.raises(DataError, match=r"chunk 76 \(rows 989 to 1,001, in.jsonl\): line 1001 is"):
        screen(
            model, [path], tmp_path / "out", settings(), executor=ProcessExecutor(workers=workers)
        )
    assert (tmp_path / "out" / "parts" / "part-000000.parquet").exists()


def test_a_bad_record_is_a_row_with_a_reason(model, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("formula,a\n" + "GaN,1\n" * 20 + "(Ga,Al)N,2\nZnO,3\n")
    summary = screen(model, [path], tmp_path / "out", settings())
    assert (summary.counts["rows"], summary.counts["errors"]) == (22, 1)
    rows = pd.read_parquet(tmp_path / "out" / "parts")
    assert rows["formula"].tolist()[20:] == ["(Ga,Al)N,2", "ZnO"]
    assert rows["reason"][20].startswith("line 22 has 3 cells, the header 2: '(Ga,Al)N,2'")


def test_threads_are_those_of_the_executor(model, table, tmp_path):
    screen(model, [table], tmp_path / "out", executor=InProcessExecutor(1))
    with pytest.raises(ConfigError, match="threads: 1 there, 2 now"):
        screen(model, [table], tmp_path / "out", executor=InProcessExecutor(2))


def test_a_folder_that_is_begun_anew_stays_locked_and_keeps_what_is_not_its_own(tmp_path):
    folder = tmp_path / "out"
    (folder / "parts" / "mine").mkdir(parents=True)
    (folder / "parts" / "notes.txt").write_text("keep")
    (folder / "parts" / "part-000000.parquet").write_text("old")
    header = store.Header("0", [InputRecord("in.csv")], settings(), {})
    with store.ScreenStore.open(folder, header, overwrite=True):
        assert not (folder / "parts" / "part-000000.parquet").exists()
        with (
            pytest.raises(ConfigError, match="another process is writing"),
            lock_folder(folder),
        ):
            pass
    assert (folder / "parts" / "notes.txt").read_text() == "keep"
    assert (folder / "parts" / "mine").is_dir()


LIST = {
    "k": 12, "lowest": True, "diverse": "chemsys", "per_group": 2, "min_plausibility": 0.1,
    "max_above_hull": -0.2,
}  # fmt: skip


@pytest.fixture(scope="module")
def listed(model, energies, formulas, tmp_path_factory):
    """Return a finished screening with all conditions."""
    folder = tmp_path_factory.mktemp("listed")
    table = folder / "candidates.csv"
    pd.DataFrame({"id": range(len(formulas)), "formula": formulas}).to_csv(table, index=False)
    screen(model, [table], folder / "out", settings(top=LIST), stability=energies)
    return table, folder / "out"


def read_top(out):
    return pd.read_csv(out / "top.csv", keep_default_na=False)


def test_the_list_is_that_of_all_rows_taken_one_by_one(listed, energies, read):
    _, out = listed
    found = read(out)
    materials = Materials.parse(found["formula"].tolist())
    known = read_dataset("ricci_seebeck", need_target=False).materials.compositions
    plausibility, why = Plausibility(known).judge(materials.compositions)
    stability = StabilityProxy.load(energies).columns(materials)
    above = stability["energy_above_known_hull"]
    systems = ["-".join(sorted(re.findall("[A-Z][a-z]?", text))) for text in found["formula"]]
    rows = [
        (None if np.isnan(value) else -value, 0, system, p >= 0.1 and gap <= -0.2)
        for value, system, p, gap in zip(
            found["prediction"], systems, plausibility, above, strict=True
        )
    ]
    wanted = slow_table(rows, 12, 2)
    assert 0 < np.sum(plausibility < 0.1) < len(found)
    assert 0 < np.sum(above > -0.2) < len(found)
    top = read_top(out)
    assert (top["input_row"] - 1).tolist() == wanted
    assert top["chemsys"].tolist() == [systems[row] for row in wanted]
    np.testing.assert_allclose(top["plausibility"], plausibility[wanted])
    assert top["why"].tolist() == [why[row] for row in wanted]
    for name, values in stability.items():
        expected = values[wanted]
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(top[name], expected, atol=1e-9)
        else:
            assert top[name].tolist() == expected.tolist()
    nearest = top["nearest_known"].str.extract(r"^(\S+) \(distance ([^,]*), value ([^)]*)\)")
    assert nearest[0].tolist() == top["nearest_formula"].tolist()
    np.testing.assert_allclose(nearest[1].astype(float), top["nearest_distance"], rtol=6e-3)
    np.testing.assert_allclose(nearest[2].astype(float), top["nearest_target"], rtol=6e-4)


def test_the_list_does_not_depend_on_blocks_or_processes(listed, model, energies, tmp_path):
    table, out = listed
    wanted = (out / "top.csv").read_bytes()
    counts = json.loads((out / "screen.json").read_text())["counts"]
    assert counts["implausible"] > 0
    assert counts["above_hull"] > 0
    for chunk_rows in (7, 64, 1000):
        own = ScreenSettings.from_dict({"chunk_rows": chunk_rows, "top": LIST})
        screen(model, [table], tmp_path / str(chunk_rows), own, stability=energies)
        assert (tmp_path / str(chunk_rows) / "top.csv").read_bytes() == wanted
    two = ProcessExecutor(workers=2)
    given = {"stability": energies, "executor": two}
    summary = screen(model, [table], tmp_path / "two", settings(top=LIST), **given)
    assert (tmp_path / "two" / "top.csv").read_bytes() == wanted
    assert summary.counts == counts


@pytest.mark.parametrize("chunks", [1, 3, 8, 11])
def test_a_killed_list_continues_to_the_same_bytes_and_counts(
    listed, model, energies, tmp_path, hashes, kill_after, monkeypatch, chunks
):
    table, out = listed
    kill_after(chunks, "_append")
    with pytest.raises(KilledError):
        screen(model, [table], tmp_path / "out", settings(top=LIST), stability=energies)
    monkeypatch.undo()
    summary = screen(model, [table], tmp_path / "out", settings(top=LIST), stability=energies)
    assert hashes(tmp_path / "out") == hashes(out)
    assert summary.counts == json.loads((out / "screen.json").read_text())["counts"]


def test_both_models_go_to_workers_without_the_files_of_this_machine(
    listed, model, energies, tmp_path, hashes
):
    table, out = listed
    known = tmp_path / "known.csv"
    known.write_text("formula,target\nLi2O,-2.0\n")

    class Remote(InProcessExecutor):
        shares_files = False

        def open(self, setup=None, policy=None):
            energies.rename(energies.with_name("moved"))
            return super().open(setup)

    try:
        screen(model, [table], tmp_path / "out", settings(top=LIST), stability=energies,
               executor=Remote())  # fmt: skip
    finally:
        energies.with_name("moved").rename(energies)
    assert hashes(tmp_path / "out") == hashes(out)
    files = Sources(model, energies, known).files()
    (tmp_path / "there").mkdir()
    there = Sources.unpacked(files, tmp_path / "there")
    assert there.stability_table.read_bytes() == known.read_bytes()
    assert Sources.unpacked(Sources(model).files(), tmp_path) == Sources(tmp_path / "model")


def test_a_table_of_known_energies_replaces_the_training_materials(
    listed, model, energies, tmp_path
):
    table, _ = listed
    known = tmp_path / "known.csv"
    known.write_text("formula,target\nLi2O,-2.0\nLi2O,-9.0\n")
    only = {"k": 150}
    given = {"stability": energies, "stability_table": known}
    screen(model, [table], tmp_path / "out", settings(top=only), **given)
    top = read_top(tmp_path / "out")
    rows = top[top["n_known_in_system"] == 1]
    assert set(rows["formula"].str.replace(r"\d", "", regex=True)) == {"LiO"}
    assert all("Li2O" in text for text in rows["known_hull_phases"])
    assert rows["energy_above_known_hull"].min() > 1
    rest = top[top["n_known_in_system"] == 0]
    np.testing.assert_allclose(rest["energy_above_known_hull"], rest["formation_energy"])
    written = json.loads((tmp_path / "out" / "screen.json").read_text())
    assert written["stability_table"]["name"] == "known.csv"
    assert len(written["stability_sha256"]) == 64
    known.write_text("formula,target\nLi2O,-3.0\nLi2O,-9.0\n")
    with pytest.raises(ConfigError, match=r"stability_table.sha256: [0-9a-f]{12}\.\.\. there"):
        screen(model, [table], tmp_path / "out", settings(top=only), **given)


def test_plausibilities_of_the_input_are_used_as_they_are(model, tmp_path):
    path = tmp_path / "in.csv"
    lines = ["formula,plausibility,why", "GaN,0.9,a", "ZnO,0.1,b", "LiF,,c", "NaCl,0.5,d"]
    path.write_text("\n".join(lines) + "\n")
    out = tmp_path / "out"
    summary = screen(model, [path], out, settings(top={"k": 4, "min_plausibility": 0.5}))
    top = read_top(out)
    assert dict(zip(top["formula"], top["why"], strict=True)) == {"GaN": "a", "NaCl": "d"}
    assert summary.counts["implausible"] == 2


@pytest.mark.parametrize(
    ("top", "given", "message"),
    [
        (None, {"stability": True}, "--stability is about the rows of top.csv: give --top K"),
        ({"k": 1}, {"stability_table": "x.csv"}, "--stability-table needs a model of formation"),
        ({"k": 1, "max_above_hull": 0.1}, {}, "--max-above-hull needs a model of formation"),
    ],
)
def test_stability_that_is_not_complete_is_refused(
    model, energies, table, tmp_path, top, given, message
):
    given = {name: energies if value is True else value for name, value in given.items()}
    with pytest.raises(ConfigError, match=message):
        screen(model, [table], tmp_path / "out", settings(top=top), **given)


@pytest.mark.parametrize("name", ["nearest_known", "family", "why", "energy_above_known_hull"])
def test_columns_that_the_list_would_add_are_refused(model, energies, tmp_path, name):
    path = tmp_path / "in.csv"
    path.write_text(f"formula,{name}\nGaN,1\n")
    top = {"k": 1, "diverse": "family", "min_plausibility": 0.1}
    with pytest.raises(DataError, match=f"already has a column '{name}'; rename it"):
        screen(model, [path], tmp_path / "out", settings(top=top), stability=energies)


def test_an_empty_list_has_all_columns(model, energies, table, tmp_path):
    top = {**LIST, "max_above_hull": -99.0}
    screen(model, [table], tmp_path / "out", settings(top=top), stability=energies)
    found = read_top(tmp_path / "out")
    assert found.empty
    assert {"chemsys", "plausibility", "why", "energy_above_known_hull", "nearest_known"} <= set(
        found
    )
