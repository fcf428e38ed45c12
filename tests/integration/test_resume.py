"""Real trainings that are killed again and again, and what a leftover checkpoint does."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError, safe_open

from integration.tables import make_rows, write_rows
from warm_commands import Command, write_often
from xtalshift.benchmark.store import RECORDS_FILE, read_records
from xtalshift.cli.main import main
from xtalshift.estimators import network
from xtalshift.nn.checkpoint import Checkpoint
from xtalshift.parallel import InProcessExecutor

EPOCHS = 120
SETTINGS = ("--set", f"cal.epochs={EPOCHS}", "--set", f"cal.patience={EPOCHS}",
            "--set", "cal.warmup_epochs=10", "--set", f"erm.epochs={EPOCHS}",
            "--set", f"erm.patience={EPOCHS}", "--set", "network.architecture=[16]",
            "--set", "network.dropout=0.2", "--set", "intervals.method=none",
            "--threads", "1")  # fmt: skip


def start(folder: Path, *arguments: object) -> Command:
    return Command(folder, *arguments, before=write_often)


def finish(folder: Path, *arguments: object) -> str:
    code, err = start(folder, *arguments).wait()
    assert code == 0, err
    return err


def at_one_go(*arguments: object) -> None:
    """Run a command here, which is quicker, with no checkpoint at all within 20 seconds."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == 0


def epochs_done(path: Path) -> int:
    """Return how many epochs a checkpoint holds, 0 if there is none."""
    try:
        with safe_open(path, "pt") as file:
            state = dict(json.loads(file.metadata()["state"])["state"]["items"])
    except (FileNotFoundError, SafetensorError):
        # gone or, on systems that map files lazily, replaced under our hands
        return 0
    return len(state["history"])


def stop(
    folder: Path, arguments: tuple[object, ...], path: Path, epochs: int, blow: signal.Signals
) -> tuple[int, str]:
    """Run a command until its checkpoint holds `epochs`, then send `blow`; return code, output."""
    command = start(folder, *arguments)
    while epochs_done(path) < epochs:
        assert command.code is None, command.wait()
        time.sleep(0.002)
    command.send(blow)
    return command.wait()


def model_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def hidden(folder: Path) -> list[str]:
    """Return what looks like a leftover."""
    return sorted(
        path.name
        for path in folder.rglob("*")
        if path.name != ".lock" and (path.name[0] == "." or "checkpoint" in path.name)
    )


@pytest.fixture(scope="module")
def training(table: Path) -> Callable[[Path], tuple[object, ...]]:
    return lambda out: ("train", table, "-o", out, "--target", "gap", "--method", "cal", *SETTINGS)


@pytest.fixture(scope="module")
def undisturbed(
    training: Callable[[Path], tuple[object, ...]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """Return the files of a model that was trained at one go."""
    out = tmp_path_factory.mktemp("undisturbed") / "model"
    at_one_go(*training(out))
    assert hidden(out.parent) == []
    return model_bytes(out)


def test_a_training_killed_again_and_again_ends_with_the_same_model(
    training, tmp_path, said, undisturbed
):
    out, checkpoint = tmp_path / "model", tmp_path / ".model.checkpoint"
    draw = random.Random(time.time_ns())  # any moment will do
    done = 0
    for _ in range(3):
        code, err = stop(
            said, training(out), checkpoint, done + draw.randint(1, 20), signal.SIGKILL
        )
        assert code == -signal.SIGKILL, err
        assert not out.exists()
        before, done = done, epochs_done(checkpoint)
        assert before < done < EPOCHS  # it went on, and was not finished
    finish(said, *training(out))
    assert model_bytes(out) == undisturbed
    assert hidden(tmp_path) == []


def test_ctrl_c_keeps_the_training_and_the_same_command_continues(
    training, tmp_path, said, undisturbed
):
    out, checkpoint = tmp_path / "model", tmp_path / ".model.checkpoint"
    code, err = stop(said, training(out), checkpoint, 30, signal.SIGINT)
    assert code == 1
    assert err.splitlines()[-1] == (
        f"Stopped. The training so far is kept in {checkpoint}; run the same command to continue "
        "it."
    )
    assert "Traceback" not in err
    assert 30 <= epochs_done(checkpoint) < EPOCHS
    finish(said, *training(out))
    assert model_bytes(out) == undisturbed
    assert hidden(tmp_path) == []


def members_done(path: Path) -> int:
    """Return how many fits of members a checkpoint holds, 0 if there is none."""
    try:
        with safe_open(path, "pt") as file:
            state = dict(json.loads(file.metadata()["state"])["state"]["items"])
    except (FileNotFoundError, SafetensorError):
        return 0
    return sum(len(state[part]["items"]) for part in ("finished", "fitted"))


def test_a_stack_killed_again_and_again_ends_with_the_same_model(table, tmp_path, said):
    def command(out: Path) -> tuple[object, ...]:
        return ("train", table, "-o", out, "--target", "gap", "--method", "auto",
                "--set", "lightgbm.n_estimators=40", *SETTINGS)  # fmt: skip

    at_one_go(*command(tmp_path / "expected"))
    out, checkpoint = tmp_path / "model", tmp_path / ".model.checkpoint"
    done = 0
    for _ in range(3):
        process = start(said, *command(out))
        while members_done(checkpoint) <= done:
            assert process.code is None, process.wait()
            time.sleep(0.002)
        process.send(signal.SIGKILL)
        assert process.wait()[0] == -signal.SIGKILL
        done = members_done(checkpoint)
    finish(said, *command(out))
    assert model_bytes(out) == model_bytes(tmp_path / "expected")
    assert hidden(tmp_path) == []


def run_command(table: Path, out: Path) -> tuple[object, ...]:
    return ("run", "--dataset", table, "--target", "gap", "--methods", "erm,cal",
            "--splits", "random", "--set", "choice.folds=2", "--set", "choice.repeats=1",
            "--out", out, *SETTINGS)  # fmt: skip


def outcome(folder: Path) -> dict[str, Any]:
    results = json.loads((folder / "results.json").read_text())
    records = [{k: v for k, v in r.items() if k != "seconds"} for r in results["records"]]
    models = {path.parent.name: model_bytes(path) for path in (folder / "tasks").glob("*/model")}
    saved = {**model_bytes(folder / "model"), "refit": (folder / "refit.json").read_bytes()}
    return {
        "records": records, "histories": results["histories"], "models": models, "saved": saved,
        "choice": results["model"],
    }  # fmt: skip


@pytest.mark.long
def test_a_run_killed_in_every_method_ends_with_the_same_results(table, tmp_path, said):
    expected = tmp_path / "expected"
    at_one_go(*run_command(table, expected))
    assert {r["status"] for r in outcome(expected)["records"]} == {"ok"}
    assert hidden(expected) == []
    out = tmp_path / "run"
    tasks = {one.method: task for task, one in read_records(expected / RECORDS_FILE)[1].items()}
    for method in ("cal", "erm"):  # the longest is the first
        checkpoint = out / "tasks" / f"{tasks[method]}.checkpoint"
        code, err = stop(said, run_command(table, out), checkpoint, 40, signal.SIGKILL)
        assert code == -signal.SIGKILL, err
    # the fit of the winner to all rows
    key = json.loads((expected / "refit.json").read_text())["key"]
    checkpoint = out / f".model-{key[:16]}.checkpoint"
    code, err = stop(said, run_command(table, out), checkpoint, 40, signal.SIGKILL)
    assert code == -signal.SIGKILL, err
    assert "3 tasks, 1 of them done before" in err
    assert not (out / "model").exists()
    err = finish(said, *run_command(table, out))
    assert "3 tasks, 3 of them done before" in err
    assert outcome(out) == outcome(expected)
    assert hidden(out) == []


# What a leftover checkpoint does, without the cost of a process


@dataclass
class Stopping(Checkpoint):
    """Writes after every epoch and stops the training after the second writing, as Ctrl-C does."""

    seconds: float = 0.0
    written: int = 0

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        self.written += 1
        if self.written == 2:
            raise KeyboardInterrupt


@pytest.fixture
def stopped(xtalshift, monkeypatch):
    """Return a function that runs a command up to its second epoch."""

    def call(*arguments: object) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(network, "Checkpoint", Stopping)
            patch.setattr("xtalshift.parallel.make_executor", lambda **_: InProcessExecutor())
            outcome = xtalshift(*arguments)
        assert outcome.code == 1
        assert outcome.err.splitlines()[-1].startswith("Stopped.")

    return call


@pytest.mark.parametrize(
    "changed",
    [("--set", "cal.epsilon=0.3"), ("--set", "cal.epochs=9"), ("--seed", "1"),
     ("--method", "erm"), ("--transform", "log1p"), "data"],
    ids=lambda changed: changed if isinstance(changed, str) else " ".join(changed),
)  # fmt: skip
def test_a_leftover_of_other_settings_or_data_is_refused_with_the_remedy(
    changed, tmp_path, xtalshift, stopped, quick
):
    rows = make_rows(40)
    table = write_rows(tmp_path / "t.csv", rows)
    command = ("train", table, "-o", tmp_path / "model", "--target", "gap", *quick)
    stopped(*command, "--method", "cal")
    left = tmp_path / ".model.checkpoint"
    content = left.read_bytes()
    if changed == "data":
        write_rows(table, [*rows[:-1], (*rows[-1][:2], 9.75, rows[-1][3])])
        changed = ()
    other = (*command, "--method", "cal", *changed)
    refused = xtalshift(*other)
    assert refused.code == 1
    assert refused.err.splitlines()[-1] == (
        f"Error: {left} is the checkpoint of a training with other settings or data, "
        "or of another version; delete it to start again"
    )
    assert left.read_bytes() == content  # the one who mistyped can still continue
    assert not (tmp_path / "model").exists()
    left.unlink()
    assert xtalshift(*other).code == 0
    assert hidden(tmp_path) == []


def test_settings_that_do_not_touch_the_training_continue_it(
    table, tmp_path, xtalshift, stopped, quick
):
    command = ("train", table, "-o", tmp_path / "model", "--target", "gap", "--method", "cal")
    stopped(*command, *quick)
    assert epochs_done(tmp_path / ".model.checkpoint") == 2
    done = xtalshift(*command, *quick, "--set", "erm.epochs=9", "--unit", "eV")
    assert done.code == 0, done.err
    assert hidden(tmp_path) == []


def test_a_damaged_leftover_is_refused_with_the_remedy(table, tmp_path, xtalshift, quick):
    left = tmp_path / ".model.checkpoint"
    left.write_bytes(b"")  # as a power cut may leave it
    refused = xtalshift("train", table, "-o", tmp_path / "model", "--target", "gap",
                        "--method", "erm", *quick)  # fmt: skip
    assert refused.code == 1
    assert refused.err.splitlines()[-1].startswith(f"Error: {left} is damaged (")
    assert refused.err.splitlines()[-1].endswith("); delete it to start again")


def test_a_run_of_other_settings_is_refused_and_begins_anew_with_overwrite(
    table, tmp_path, xtalshift, stopped, quick
):
    def command(out: Path) -> tuple[object, ...]:
        return ("run", "--dataset", table, "--target", "gap", "--methods", "cal",
                "--splits", "random", "--out", out, *quick)  # fmt: skip

    changed = ("--set", "cal.epsilon=0.3")
    stopped(*command(tmp_path / "run"))
    (left,) = (tmp_path / "run" / "tasks").glob("*.checkpoint")
    assert epochs_done(left) == 2
    refused = xtalshift(*command(tmp_path / "run"), *changed)
    assert refused.code == 1
    assert "(cal.epsilon); choose another --out, or give --overwrite" in refused.err
    assert epochs_done(left) == 2
    assert xtalshift(*command(tmp_path / "run"), *changed, "--overwrite").code == 0
    assert xtalshift(*command(tmp_path / "fresh"), *changed).code == 0
    assert outcome(tmp_path / "run") == outcome(tmp_path / "fresh")
    assert hidden(tmp_path / "run") == []
