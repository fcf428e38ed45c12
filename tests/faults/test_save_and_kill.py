"""A save that is killed, or refused by the system, at any call leaves the old or the new state."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch

from faults.injection import FAULT, Injector, run_child, run_here
from xtalshift.benchmark.records import Score, TaskRecord
from xtalshift.benchmark.store import RecordStore
from xtalshift.errors import DataError
from xtalshift.estimators.irnet import IRNetRegressor
from xtalshift.jobs.predict import predict_file
from xtalshift.jobs.run import _begin_folder, _check_folder
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.model import FittedModel, FormulaRegressor, load_model, save_model
from xtalshift.model.table_predictor import TablePredictor
from xtalshift.nn.checkpoint import Checkpoint
from xtalshift.screening.screener import COUNTS, Screened
from xtalshift.screening.settings import ScreenSettings
from xtalshift.screening.store import Header, ScreenStore
from xtalshift.screening.top import Floor


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """Count the calls that wait for the disk, and do not wait."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


CPU = torch.device("cpu")
FORMULAS = [f"{a}{b}" for a in ("Li", "Na", "K", "Mg", "Zn") for b in ("O", "S", "F", "Cl")]


@cache
def fitted(method: str) -> FittedModel:
    targets = np.linspace(1, 4, len(FORMULAS)) ** 2
    return FormulaRegressor(method, random_state=0).fit(FORMULAS, targets).model_


@dataclass(frozen=True)
class Save:
    """A step that changes a folder from one state to another."""

    before: Callable[[Path], object]
    """Writes the old state."""
    step: Callable[[Path], object]
    """Writes the new one; after a fault it is repeated."""
    read: Callable[[Path], object]
    """Returns the state that a user would find, such that equal means the same."""


def save_ridge(folder: Path) -> None:
    save_model(fitted("ridge"), folder / "model")


def save_dummy(folder: Path) -> None:
    save_model(fitted("dummy"), folder / "model")


def read_model(folder: Path) -> bytes | None:
    if not (folder / "model" / "model.json").exists():
        return None
    model = load_model(folder / "model")
    return model.predict_features(model.features_of(FORMULAS)).tobytes()


def predict_with(method: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        source = folder.parent / "in.csv"
        if not source.exists():
            source.write_text("formula\n" + "\n".join(FORMULAS) + "\n")
        predict_file(TablePredictor(fitted(method)), source, folder / "out.csv")

    return run


def read_output(folder: Path) -> bytes | None:
    path = folder / "out.csv"
    return path.read_bytes() if path.exists() else None


def checkpoint(epoch: int) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        state = {"epoch": epoch, "w": torch.full((50,), float(epoch))}
        Checkpoint(folder / "training.ckpt", "key", seconds=0.0).save(state)

    return run


def read_checkpoint(folder: Path) -> object:
    state = Checkpoint(folder / "training.ckpt", "key").load(CPU)
    return None if state is None else (state["epoch"], state["w"].tolist())


def add_record(task: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        record = TaskRecord(
            id=task, name="ridge", method="ridge", features="magpie", data="toy", split="shift",
            fold=0, fold_name="", seed=0, budget=0, n_train=40, n_val=8, n_id=7, n_test=15,
            seconds=1.0, results=(Score("", "shift", "ood", 15, mae=0.1, r2=None),),
        )  # fmt: skip
        store = RecordStore.open(folder, {"data": {"toy": "00"}})
        if task not in store.records:
            store.add(record)

    return run


def read_store(folder: Path) -> list[str]:
    return list(RecordStore.open(folder, {"data": {"toy": "00"}}).records)


HEADER = Header("0" * 64, [], ScreenSettings(), {})


def screen_to(blocks: int) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        with ScreenStore.open(folder, HEADER) as store:
            store.read_hashes()
            for number in range(store.chunks, blocks):
                counts = dict.fromkeys(COUNTS, 0) | {"rows": 2, "ok": 2, "in_domain": 2}
                screened = Screened(counts, f"part {number}".encode() * 9, None)
                hashes = np.arange(2, dtype=np.uint64) + 2 * number
                top = pa.table({"prediction": [float(number)]})
                floor = Floor(float(number), -np.inf)
                store.add(screened, (0, number), 1.0, hashes=hashes, top=top, floor=floor)

    return run


def read_screening(folder: Path) -> object:
    with ScreenStore.open(folder, HEADER) as store:
        parts = [store._part(number).read_bytes() for number in range(store.chunks)]
        floor = store.floor
        return parts, store.read_hashes().tolist(), store.read_top(), store.counts, floor


SAVES = {
    "model": Save(save_ridge, save_dummy, read_model),
    "first model": Save(lambda _: None, save_dummy, read_model),
    "predict": Save(predict_with("ridge"), predict_with("dummy"), read_output),
    "checkpoint": Save(checkpoint(1), checkpoint(2), read_checkpoint),
    "record": Save(add_record("a"), add_record("b"), read_store),
    "first record": Save(lambda _: None, add_record("a"), read_store),
    "screening": Save(screen_to(1), screen_to(2), read_screening),
    "first block": Save(lambda _: None, screen_to(1), read_screening),
}


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def state_of(save: Save, folder: Path, place: Path) -> object:
    """Return the state of a copy: reading a store may mend it."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place)
    return save.read(place)


@pytest.mark.parametrize("name", SAVES)
@pytest.mark.parametrize("kill", [True, False], ids=["killed", "disk full"])
def test_a_fault_at_any_call_leaves_the_old_or_the_new_state(name, kill, tmp_path):
    save = SAVES[name]
    clean, copy = tmp_path / "clean", tmp_path / "copy"
    clean.mkdir()
    save.before(clean)
    old = state_of(save, clean, copy)
    start = files(clean)
    save.step(clean)
    new, wanted = state_of(save, clean, copy), files(clean)
    assert old != new
    seen = set()
    for at in count():
        folder = tmp_path / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for path, content in start.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)

        def work(folder=folder, at=at):
            injector = Injector(at, kill=kill)
            with injector.installed():
                save.step(folder)
            assert injector.count <= injector.at, "the error was lost"

        code, text = run_child(work) if kill else run_here(work)
        state = state_of(save, folder, copy)
        assert state in (old, new), f"call {at}"
        seen.add(state == new)
        if code == 0:
            break
        if kill:
            assert code == FAULT, text
        elif "the error was lost" not in text:  # of the removal of a leftover
            assert code == 1, text
            assert "No space left on device" in text
            assert "\n" not in text
        else:
            assert state == new
        save.step(folder)
        assert files(folder) == wanted, f"call {at}"
    assert at > 3
    assert seen == {False, True}


@pytest.mark.parametrize(
    "held", [(), ("config.toml", "records.jsonl"), ("config.toml", "run.json")]
)
def test_a_run_that_is_killed_while_it_begins_can_be_repeated(held, tmp_path):
    config = RunConfig.from_dict({"data": {"dataset": "gaps.csv"}})

    def begin(folder):
        _begin_folder(folder, config, _check_folder(folder, config, overwrite=bool(held)))

    for at in count():
        folder = tmp_path / str(at)
        (folder / "tasks" / "1").mkdir(parents=True) if held else folder.mkdir()
        for name in (*held, *(("results.json", "tasks/1/a") if held else ())):
            (folder / name).write_text("")

        def work(folder=folder, at=at):
            with Injector(at, kill=True).installed():
                begin(folder)

        code, text = run_child(work)
        assert code in (0, FAULT), text
        begin(folder)
        assert files(folder).keys() == {"config.toml", *held} - {"run.json"}
        if code == 0:
            break
    assert at > 3


def nobody_may(folder: Path) -> None:
    folder.chmod(0o555)
    for path in folder.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs a second user")
@pytest.mark.parametrize("name", SAVES)
def test_a_folder_of_another_user_is_one_readable_line(name, tmp_path):
    save, folder = SAVES[name], tmp_path / "folder"
    folder.mkdir()
    save.before(folder)
    (tmp_path / "in.csv").write_text("formula\n" + "\n".join(FORMULAS) + "\n")
    for path in (tmp_path, *list(tmp_path.parents)[:3]):  # with xdist one folder more
        path.chmod(path.stat().st_mode | 0o055)
    nobody_may(folder)
    start = files(folder)
    code, text = run_child(lambda: save.step(folder), uid=65534)
    assert code == 1, text
    assert "ermission denied" in text or "not a writable folder" in text
    assert "\n" not in text
    assert files(folder) == start


def test_a_clock_set_back_changes_nothing(tmp_path, monkeypatch):
    now = time.time()
    for offset in (0.0, -1e8):
        monkeypatch.setattr(time, "time", lambda offset=offset: now + offset)
        monkeypatch.setattr(time, "monotonic", lambda offset=offset: now + offset)
        for name, save in SAVES.items():
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            (save.before if offset == 0 else save.step)(folder)
            for path in folder.rglob("*"):
                os.utime(path, (2e9, 2e9))  # in the future
    for name, save in SAVES.items():
        clean = tmp_path / "clean" / name
        clean.mkdir(parents=True)
        save.before(clean)
        save.step(clean)
        assert files(tmp_path / name) == files(clean)


def children(works: Iterable[Callable[[], object]]) -> list[int]:
    started = []
    for work in works:
        child = os.fork()
        if child == 0:
            code = 2
            try:
                work()
                code = 0
            finally:
                os._exit(code)
        started.append(child)
    return started


def save_often(folder: Path, first: int) -> None:
    """Save at least 20 times, and until the reader has read often enough: a race has no winner."""
    number = first
    while number < first + 20 or not (folder / "enough").exists():
        (save_ridge if number % 2 else save_dummy)(folder)
        number += 1


def test_a_model_can_be_read_while_four_processes_replace_it(tmp_path):
    save_ridge(tmp_path)
    known = {read_model(tmp_path)}
    save_dummy(tmp_path)
    known.add(read_model(tmp_path))
    writers = children([lambda n=n: save_often(tmp_path, n) for n in range(4)])
    loads, codes = 0, []
    while writers:
        assert read_model(tmp_path) in known
        loads += 1
        if loads > 20:
            (tmp_path / "enough").touch()
        pid, status = os.waitpid(writers[0], os.WNOHANG)
        if pid:
            codes.append(os.waitstatus_to_exitcode(status))
            writers.remove(pid)
    assert codes == [0] * 4
    assert loads > 20
    assert len(list((tmp_path / "model").iterdir())) == 2


def test_two_predictions_into_one_file_do_not_mix(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    whole = []
    for method in ("ridge", "dummy"):
        predict_with(method)(folder)
        whole.append(read_output(folder))
    for _ in range(2):
        works = [lambda m=m: predict_with(m)(folder) for m in ("ridge", "dummy", "ridge")]
        for child in children(works):
            assert os.waitpid(child, 0)[1] == 0
        assert read_output(folder) in whole
        assert list(files(folder)) == ["out.csv"]


def test_a_training_goes_on_when_its_checkpoint_cannot_be_written(tmp_path, monkeypatch):
    tried = []

    def full(path, _):
        tried.append(path)
        raise DataError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr("xtalshift.nn.checkpoint.replace_file", full)
    begun = count(10**12, 100)  # so that each epoch seems to take long
    monkeypatch.setattr("xtalshift.nn.checkpoint.time", SimpleNamespace(monotonic=begun.__next__))
    X = np.random.default_rng(0).normal(size=(40, 4))
    quick = IRNetRegressor([4], epochs=3, device="cpu", random_state=0)
    place = tmp_path / "training.ckpt"
    found = quick.fit(X, X[:, 0], checkpoint=place).predict(X)
    assert tried == [place]
    assert np.array_equal(found, quick.fit(X, X[:, 0]).predict(X))
