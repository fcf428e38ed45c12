"""Stores against lists and dictionaries: after any operations, kills and damages, both agree.

What is read is exactly what was written, or the store refuses in one line that names its file and
what to do.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from safetensors import safe_open
from safetensors.torch import save_file

from faults.injection import FAULT, Injector, run_child
from faults.model_mutations import cut, flip
from xtalshift.benchmark.records import Score, TaskRecord
from xtalshift.benchmark.store import RECORDS_FILE, RecordStore
from xtalshift.errors import XtalshiftError
from xtalshift.nn.checkpoint import Checkpoint
from xtalshift.screening.screener import COUNTS, Screened
from xtalshift.screening.settings import ScreenSettings
from xtalshift.screening.store import Header, ScreenStore

QUICK = settings(
    max_examples=8, stateful_step_count=10, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
LONG = settings(QUICK, max_examples=1000, stateful_step_count=50)
SEEDS = st.integers(0, 2**32)
REFUSED = "refused"
Damage = Callable[[random.Random, bytes], bytes | None]
REMEDIES = (
    "--overwrite",
    "choose another",
    "delete it",
    "remove the line",
    "Nothing was merged",
    "cannot be merged",
)


def commonprefix(contents: list[bytes]) -> bytes:
    first, *_ = contents
    end = next(
        (n for n, pair in enumerate(zip(*contents, strict=False)) if len(set(pair)) > 1), None
    )
    return first[: min(map(len, contents)) if end is None else end]


class StoreMachine(RuleBasedStateMachine):
    """A folder with a store, which a subclass opens and compares with a model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.folder = self.home / "store"

    def teardown(self) -> None:
        shutil.rmtree(self.home)


def accepted(work: Callable[[], Any], folder: Path) -> Any:
    """Return what `work` does, or None if it is refused in one line with a file and a remedy."""
    try:
        return work()
    except XtalshiftError as error:
        text = str(error)
        assert "\n" not in text
        assert str(folder) in text
        assert any(remedy in text for remedy in REMEDIES), text
        return None


def killed(work: Callable[[], Any], seed: int) -> bool:
    """Do `work` in a process that is killed at one of its calls; return whether it was."""

    def step() -> None:
        injector = Injector(random.Random(seed).randrange(12), kill=True)
        with injector.installed():
            work()

    code, text = run_child(step)
    assert code in {0, FAULT}, text
    return code == FAULT


# ----------------------------------------------------------------------------- records


def record(task: str, mae: float, *, ok: bool = True) -> TaskRecord:
    return TaskRecord(
        id=task, name="ridge", method="ridge", features="magpie", data="toy", split="shift",
        fold=0, fold_name="", seed=0, budget=0, n_train=40, n_val=8, n_id=7, n_test=15,
        status="ok" if ok else "failed", reason="" if ok else 'a "reason"\n é',
        results=(Score("", "shift", "ood", 15, mae=mae),) if ok else (),
    )  # fmt: skip


TASKS, ERRORS = st.sampled_from("abcdefgh"), st.floats(0, 1e3)
HEADER = {"data": {"toy": "00"}, "threads": 1}


class RecordMachine(StoreMachine):
    """The records of a benchmark; the model is the list of records in the order of the file."""

    @initialize()
    def begin(self) -> None:
        self.path = self.folder / RECORDS_FILE
        self.written: list[TaskRecord] = []
        self.store = RecordStore.open(self.folder, HEADER)

    @property
    def records(self) -> dict[str, TaskRecord]:
        return {one.id: one for one in self.written}

    def open(self, **other: Any) -> RecordStore | None:
        return accepted(lambda: RecordStore.open(self.folder, HEADER | other), self.folder)

    @invariant()
    def agree(self) -> None:
        self.store = self.open()
        assert self.store.records == self.records
        assert list(self.store.records) == list(self.records)

    @rule(task=TASKS, mae=ERRORS, ok=st.booleans())
    def add(self, task: str, mae: float, ok: bool) -> None:
        self.store.add(record(task, mae, ok=ok))
        self.written.append(record(task, mae, ok=ok))

    @rule(task=TASKS, mae=ERRORS, seed=SEEDS)
    def kill(self, task: str, mae: float, seed: int) -> None:
        one, before = record(task, mae), self.path.read_bytes()
        was_killed = killed(lambda: self.store.add(one), seed)
        lines = self.path.read_bytes().removeprefix(before).count(b"\n")
        assert lines == 1 or was_killed
        self.written += [one] * lines

    @rule(other=st.sampled_from([{"threads": 2}, {"data": {"toy": "11"}}, {"more": 1}]))
    def open_with_another_header(self, other: dict[str, Any]) -> None:
        assert self.open(**other) is None

    @rule(tasks=st.dictionaries(TASKS, ERRORS, max_size=3), threads=st.integers(1, 2))
    def merge(self, tasks: dict[str, float], threads: int) -> None:
        place = self.home / "other"
        shutil.rmtree(place, ignore_errors=True)
        other, mine = RecordStore.open(place, HEADER | {"threads": threads}), self.records
        for task, mae in tasks.items():
            other.add(record(task, mae))
        good = {task for task in tasks if task in mine and mine[task].ok}
        same = all(mine[task] == record(task, tasks[task]) for task in good)
        count = accepted(lambda: self.store.merge(place), place)
        if threads == 1 and same:
            new = [record(task, tasks[task]) for task in tasks if task not in good]
            assert count == len(new)
            self.written += new
        else:
            assert count is None

    @precondition(lambda self: self.written)
    @rule(seed=SEEDS)
    def remove_a_line(self, seed: int) -> None:
        """Remove a record as the message about a damaged line advises."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        place = random.Random(seed).randrange(len(self.written))
        del self.written[place], lines[place + 1]
        self.path.write_bytes(b"".join(lines))

    @precondition(lambda self: self.written)
    @rule(seed=SEEDS)
    def repeat_a_line(self, seed: int) -> None:
        lines = self.path.read_bytes().splitlines(keepends=True)
        place = random.Random(seed).randrange(len(self.written))
        self.written.append(self.written[place])
        self.path.write_bytes(b"".join([*lines, lines[place + 1]]))

    @rule(seed=SEEDS, damage=st.sampled_from([flip, cut]))
    def damage(self, seed: int, damage: Damage) -> None:
        content = self.path.read_bytes()
        changed = damage(random.Random(seed), content)
        self.path.write_bytes(changed)
        if self.open() is None:
            self.path.write_bytes(content)
            return
        # only an unfinished line at the end does not count
        same = commonprefix([content, changed])
        assert b"\n" not in changed[same.rfind(b"\n") + 1 :]
        self.written = self.written[: max(same.count(b"\n") - 1, 0)]

    @rule()
    def overwrite(self) -> None:
        RecordStore.open(self.folder, HEADER, overwrite=True)
        self.written = []


# --------------------------------------------------------------------------- screening


class Chunk(NamedTuple):
    """A finished block."""

    part: bytes | None
    hashes: list[int]
    best: list[int]
    """The best rows of all blocks so far."""


class ScreenMachine(StoreMachine):
    """The blocks of a screening; the model is the list of them."""

    header = Header("0" * 64, [], ScreenSettings(), {})

    @initialize()
    def begin(self) -> None:
        self.chunks: list[Chunk] = []
        self.finished = False

    def open(self, read: Callable[[ScreenStore], Any], **how: Any) -> Any:
        def work() -> Any:
            with ScreenStore.open(self.folder, how.pop("header", self.header), **how) as store:
                return read(store)

        return accepted(work, self.folder)

    def read(self, store: ScreenStore) -> tuple[list[Chunk], bool]:
        """Return what a session that goes on would find."""
        hashes, best = store.read_hashes().tolist(), store.read_top()
        assert store.rows == store.counts["ok"] == 2 * store.chunks
        assert store.end == ((0, store.chunks) if store.chunks else (0, 0))
        found = []
        for number in range(store.chunks):
            place = store._part(number)
            length = len(self.chunks[number].hashes)
            found.append(Chunk(place.read_bytes() if place.exists() else None, hashes[:length], []))
            hashes = hashes[length:]
        assert not hashes
        if found:
            found[-1] = found[-1]._replace(best=[] if best is None else best["x"].to_pylist())
        return found, store.summary is not None

    @property
    def expected(self) -> tuple[list[Chunk], bool]:
        last = len(self.chunks) - 1
        chunks = [
            one if place == last else one._replace(best=[]) for place, one in enumerate(self.chunks)
        ]
        return chunks, self.finished

    @invariant()
    def agree(self) -> None:
        assert self.open(self.read) == self.expected

    def make(self, seed: int) -> tuple[Chunk, Callable[[ScreenStore], None]]:
        """Return a block and what adds it."""
        rng = random.Random(seed)
        part = None if rng.random() < 0.2 else rng.randbytes(30)
        hashes = [rng.randrange(2**64) for _ in range(rng.randrange(3))]
        best, changed = (self.chunks[-1].best if self.chunks else []), rng.random() < 0.5
        best = [*best, rng.randrange(100)] if changed else best
        counts = dict.fromkeys(COUNTS, 0) | {"rows": 2, "ok": 2}

        def add(store: ScreenStore) -> None:
            store.add(
                Screened(counts, part, None),
                (0, len(self.chunks) + 1),
                0.1,
                hashes=np.array(hashes, dtype=np.uint64),
                top=pa.table({"x": best}) if changed else None,
            )

        return Chunk(part, hashes, best), add

    @rule(seed=SEEDS)
    def add(self, seed: int) -> None:
        chunk, add = self.make(seed)
        self.open(add)
        self.chunks.append(chunk)
        self.finished = False

    @rule(seed=SEEDS)
    def kill(self, seed: int) -> None:
        chunk, add = self.make(seed)
        was_killed = killed(lambda: self.open(add), seed)
        number = self.open(lambda store: store.chunks)
        assert number == len(self.chunks) + 1 or (was_killed and number == len(self.chunks))
        if number > len(self.chunks):
            self.chunks.append(chunk)
            self.finished = False

    @rule(seed=SEEDS)
    def finish(self, seed: int) -> None:
        was_killed = killed(lambda: self.open(lambda store: store.finish(b"a\n1\n")), seed)
        finished = self.open(lambda store: store.summary is not None)
        assert finished or was_killed
        self.finished = finished

    @rule()
    def open_another_screening(self) -> None:
        for other in (replace(self.header, model_sha256="1" * 64),
                      replace(self.header, versions={"numpy": "9"})):  # fmt: skip
            parts = (self.folder / "parts").glob("[!.]*")  # a killed session may leave one
            begun = bool(self.chunks) or self.finished or any(parts)
            assert self.open(lambda store: True, header=other) is (None if begun else True)

    @rule(seed=SEEDS, damage=st.sampled_from([flip, cut, lambda rng, content: None]))
    def damage(self, seed: int, damage: Damage) -> None:
        """Damage or remove one of the files."""
        rng = random.Random(seed)
        paths = sorted(self.folder.rglob("*.*"))
        path = rng.choice([one for one in paths if one.is_file() and one.name != ".lock"])
        content, before = path.read_bytes(), self.home / "before"
        shutil.copytree(self.folder, before)
        changed = damage(rng, content) if content else None
        if changed is None:
            path.unlink()
        else:
            path.write_bytes(changed)
        found = self.open(self.read)
        if found is None:
            shutil.rmtree(self.folder)
            before.rename(self.folder)
            return
        shutil.rmtree(before)
        # blocks are the same or made again, from the first one or after what is left of the journal
        left = len(found[0])
        if path.name != "journal.jsonl":
            assert left in {0, len(self.chunks)}
        elif left:
            same = commonprefix([content, changed or b""])
            assert left == same.count(b"\n") - 1
        self.chunks = self.chunks[:left]
        self.finished = self.finished and found[1]
        assert found == self.expected

    @rule()
    def overwrite(self) -> None:
        self.open(lambda store: None, overwrite=True)
        self.chunks, self.finished = [], False


# -------------------------------------------------------------------------- checkpoint


class CheckpointMachine(StoreMachine):
    """The file of a training; the model is the state that was last written, by key."""

    @initialize()
    def begin(self) -> None:
        self.path = self.folder / "training.ckpt"
        self.state: tuple[str, Any] | None = None

    def load(self, key: str) -> Any:
        """Return the plain state, None if there is none, or the word refused."""

        def work() -> Any:
            state = Checkpoint(self.path, key).load(torch.device("cpu"))
            return [None if state is None else plain(state)]

        found = accepted(work, self.folder)
        return REFUSED if found is None else found[0]

    @invariant()
    def agree(self) -> None:
        for key in "ab":
            if self.state is None:
                assert self.load(key) is None
            else:
                assert self.load(key) == (self.state[1] if key == self.state[0] else REFUSED)

    @rule(key=st.sampled_from("ab"), seed=SEEDS, kill=st.booleans())
    def save(self, key: str, seed: int, kill: bool) -> None:
        rng = np.random.default_rng(seed)
        arrays = {
            "float": torch.from_numpy(rng.normal(size=rng.integers(0, 4, size=2))),
            "bytes": torch.from_numpy(rng.integers(0, 256, 9, dtype=np.uint8)),
        }
        state = {"model": arrays, "history": [{"epoch": 0, "loss": rng.normal()}], "none": None}
        checkpoint = Checkpoint(self.path, key, seconds=0.0)
        if not kill:
            checkpoint.save(state)
            self.state = (key, plain(state))
            return
        was_killed = killed(lambda: checkpoint.save(state), seed)
        found = self.load(key)
        if found == plain(state):
            self.state = (key, found)
        else:
            assert was_killed

    @precondition(lambda self: self.state is not None)
    @rule(seed=SEEDS, damage=st.sampled_from([flip, cut]))
    def damage(self, seed: int, damage: Damage) -> None:
        content = self.path.read_bytes()
        changed = damage(random.Random(seed), content)
        self.path.write_bytes(changed)
        for key in "ab":
            found = self.load(key)
            assert found == REFUSED or (changed == content and found == self.state[1])
        self.path.write_bytes(content)

    @precondition(lambda self: self.state is not None)
    @rule(seed=SEEDS)
    def lose_an_array(self, seed: int) -> None:
        content = self.path.read_bytes()
        with safe_open(self.path, "pt") as file:
            metadata = file.metadata()
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        del arrays[random.Random(seed).choice(sorted(arrays))]
        save_file(arrays, self.path, metadata=metadata)
        assert self.load(self.state[0]) == REFUSED
        self.path.write_bytes(content)

    @rule()
    def remove(self) -> None:
        Checkpoint(self.path, "a").remove()
        self.state = None


def plain(value: Any) -> Any:
    """Return a state such that equal means the same bits."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.numpy().tobytes())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


MACHINES = [RecordMachine, ScreenMachine, CheckpointMachine]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_store_is_what_was_written(machine):
    run_state_machine_as_test(machine, settings=QUICK)


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("machine", MACHINES)
def test_a_store_is_what_was_written_after_many_operations(machine):
    run_state_machine_as_test(machine, settings=LONG)
