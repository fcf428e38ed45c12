"""Kill commands at random points, and compare what they leave and what they end with.

In the folder of the tests, ::

    python -c "from faults.random_kills import kill_from_command_line as k; k()" OUT.jsonl

appends one line per trial to OUT.jsonl, and continues behind the lines that are there.

A trial runs a command in a process forked from this one, which has loaded all libraries, and kills
it at a random moment or at a random call that changes files; perhaps it kills the repeated command
as well. Then the command is repeated to its end. Only the process of the command is killed, as the
system does when memory runs out: its workers have to end by themselves.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import json
import multiprocessing.util
import os
import random
import re
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from faults.injection import FAULT, Injector
from integration.tables import make_rows, write_rows
from xtalshift import parallel
from xtalshift.cli import benchmark as cli_benchmark
from xtalshift.cli import screen as cli_screen
from xtalshift.cli.main import main
from xtalshift.errors import XtalshiftError
from xtalshift.estimators import network
from xtalshift.files import append, make_temporary_folder
from xtalshift.model.persist import MODEL_FILE, load_model
from xtalshift.nn.checkpoint import Checkpoint
from xtalshift.parallel import InProcessExecutor

MEASURED = 0.05
"""Share of the trials that first measure how long the command takes now."""
SECONDS = 120.0
"""A command that takes longer hangs."""
PATIENCE = 10.0
"""Seconds in which the workers of a killed command have to end."""
AGAIN = 0.7
"""Share of the repeated commands that are killed too."""

TIMES = frozenset({"seconds", "cpu_seconds", "predict_seconds", "mean_seconds", "time",
                   "peak_mib", "peak_memory_mib", "rows_per_second", "crc32"})  # fmt: skip
"""Fields that tell when, how quickly and in how much memory, and the checksum of a line with them:
the only ones that may differ."""
TIMES_OF_A_PAGE = re.compile(
    r"<dt>(?:time|peak memory)</dt><dd>[^<]*"
    r"|&#34;(?:time|peak_memory_mib)&#34;: [^\n]*"
    r"|<td class=\"num v v-cost[^>]*>[^<]*"  # in a benchmark
    r'|"figure-cost-\d+":.*?(?="figure-|</script>)'
    r'|(?<=\n)    <td class="num">[^<]*</td></tr>'  # in a run: the last column
)
"""The same in a page."""

OUT_FOLDER = Path("../work")
OUT = "../work/out"
EPOCHS = ("--set", "erm.epochs=4", "--set", "cal.epochs=4", "--set", "cal.warmup_epochs=1",
          "--set", "cal.partial_batches=2", "--set", "network.architecture=[8]",
          "--threads", "1")  # fmt: skip
# --overwrite: a model that has its name just before the kill is an earlier one for the repetition
TRAIN = ("train", "table.csv", "-o", OUT, "--target", "gap", "--intervals", "none", "--overwrite",
         *EPOCHS)  # fmt: skip
ADAPT = ("adapt", "network", "labels.csv", "-o", OUT, "--target", "gap", "--threads", "1",
         "--overwrite", "--set", "steps=10", "--calibration-folds", "0")  # fmt: skip
SCREEN = ("screen", "model", "table.csv", "-o", OUT, "--chunk-rows", "10", "--top", "5")
RUN = ("run", "--dataset", "table.csv", "--target", "gap", "--out", OUT,
       "--splits", "random", "--set", "choice.folds=2", "--set", "choice.repeats=1",
       *EPOCHS)  # fmt: skip
BENCHMARK = ("benchmark", "spec.toml", "--out", OUT)

SPEC = """
title = "Two methods"
methods = ["dummy", "ridge"]
seeds = 2
features = ["fractions"]
audit = false

[data.gaps]
dataset = "table.csv"
target = "gap"

[splits.random]
scheme = "random"
"""


@dataclass(frozen=True)
class Scenario:
    """A command whose output is compared."""

    command: tuple[str, ...]
    """Its arguments."""
    earlier: tuple[str, ...]
    """The command that wrote what it replaces in half of the trials."""
    share: float
    """Relative number of trials."""
    folder: bool = False
    """Whether it writes a folder step by step, and needs ``--overwrite`` to replace another.
    Otherwise its output is the earlier one, the new one or missing at any time."""
    workers: bool = False
    """Whether it works in processes, otherwise in the one that is killed."""


_SCREEN = (*SCREEN, "--distinct")
_RUN = (*RUN, "--methods", "ridge,erm")
_DUMMY = ("--methods", "dummy")
SCENARIOS = {
    "train ridge": Scenario((*TRAIN, "--method", "ridge"), (*TRAIN, "--method", "dummy"), 4),
    "train cal": Scenario((*TRAIN, "--method", "cal"), (*TRAIN, "--method", "ridge"), 3),
    "adapt": Scenario((*ADAPT, "--method", "fine-tune"), (*ADAPT, "--method", "head-only"), 3),
    "predict csv": Scenario(
        ("predict", "model", "table.csv", "-o", f"{OUT}.csv"),
        ("predict", "model", "labels.csv", "-o", f"{OUT}.csv"),
        4,
    ),
    "predict parquet": Scenario(
        ("predict", "model", "table.csv", "-o", f"{OUT}.parquet"),
        ("predict", "model", "labels.csv", "-o", f"{OUT}.parquet"),
        4,
    ),
    "screen": Scenario(_SCREEN, SCREEN, 3, folder=True),
    "screen, workers": Scenario(
        (*_SCREEN, "--workers", "2"), SCREEN, 0.5, folder=True, workers=True
    ),
    "benchmark": Scenario(BENCHMARK, (*BENCHMARK, *_DUMMY), 0.6, folder=True),
    "benchmark, workers": Scenario(
        (*BENCHMARK, "--workers", "2"), (*BENCHMARK, *_DUMMY), 0.4, folder=True, workers=True
    ),
    "run": Scenario(_RUN, (*RUN, *_DUMMY), 0.4, folder=True),
    "run, workers": Scenario(
        (*_RUN, "--threads", "2"), (*RUN, *_DUMMY), 0.2, folder=True, workers=True
    ),
}


def content(place: Path) -> dict[str, object]:
    """Return what is in a folder, by path, without the times that files tell."""
    paths = sorted(place.rglob("*"))
    return {path.relative_to(place).as_posix(): _content(path) for path in paths}


def _content(path: Path) -> object:
    if path.is_dir():
        return None
    raw = path.read_bytes()
    if path.suffix == ".json":
        return _timeless(json.loads(raw))
    if path.suffix == ".jsonl":
        lines = [_timeless(json.loads(line)) for line in raw.splitlines()]
        # workers finish tasks in any order
        return lines[:1] + sorted(lines[1:], key=json.dumps) if "records" in path.name else lines
    if path.suffix == ".html":
        return TIMES_OF_A_PAGE.sub("", raw.decode())
    return raw


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(one) for key, one in value.items() if key not in TIMES}
    return [_timeless(one) for one in value] if isinstance(value, list) else value


@dataclass
class Outcome:
    """What one trial found."""

    trial: int
    scenario: str
    earlier: bool
    kills: list[str] = field(default_factory=list)
    """Way and place of each kill that hit."""
    found: str = ""
    """A difference or leftover."""


class _FoundError(Exception):
    """A difference or leftover."""


class Kills:
    """A folder in which commands are killed.

    Parameters
    ----------
    root : Path
        An empty folder.
    names : list of str
        Names of the scenarios.
    seed : int
        Trial i of a seed has the same scenario and the same random numbers each time.
    """

    def __init__(self, root: Path, names: list[str], seed: int) -> None:
        self.names, self.seed = names, seed
        self.inputs, self.work, self.temporary = root / "in", root / "work", root / "tmp"
        self.log, self.said, self.earlier = root / "log", root / "said", root / "earlier"
        self.started: list[int] = []
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self.ends: dict[str, dict[str, object]] = {}
        self._shared_memory = set(_list_shared_memory())
        for folder in (self.inputs, self.work, self.temporary, self.earlier):
            folder.mkdir()
        os.chdir(self.inputs)
        workers = any(SCENARIOS[name].workers for name in names)
        self.server = _start_server() if workers else None
        network.Checkpoint = functools.partial(Checkpoint, seconds=0.0)  # after every epoch
        self._prepare()

    def _prepare(self) -> None:
        """Write inputs, models and the outputs of undisturbed commands."""
        rows = make_rows(60)
        write_rows(Path("table.csv"), rows[:40])
        write_rows(Path("labels.csv"), rows[40:])
        Path("spec.toml").write_text(SPEC)
        for name, method in (("model", "ridge"), ("network", "erm")):
            if any(name in SCENARIOS[one].command for one in self.names):
                self._load((*TRAIN, "--method", method))
                (self.work / "out").rename(name)
        for name in self.names:
            one = SCENARIOS[name]
            self._load(one.earlier)
            shutil.copytree(self.work, self.earlier / name)
            self._load(one.command)
            self._measure(name)
            self.ends[name] = content(self.work)
            self._empty()
            self.calls[name] = self._count_calls(one)
        self._empty()
        gc.collect()
        gc.freeze()  # a forked process need not copy what the collector would touch

    def _load(self, command: tuple[str, ...]) -> None:
        """Run a command, and load the libraries that it has loaded, for the next."""
        self._empty()
        self._finish(command, None, lambda: " ".join(sys.modules))
        for module in self.said.read_text().split():
            with suppress(ImportError):
                importlib.import_module(module)

    def _count_calls(self, one: Scenario) -> int:
        injector = Injector(-1, kill=False)
        self._finish(one.command, one, lambda: injector.count, injector)
        return int(self.said.read_text())

    def _measure(self, name: str) -> None:
        """Measure how long a command takes."""
        self._empty()
        began = time.perf_counter()
        self._finish(SCENARIOS[name].command, SCENARIOS[name])
        self.seconds[name] = time.perf_counter() - began

    def try_one(self, trial: int) -> Outcome:
        """Kill a command, perhaps again and again, repeat it, and compare."""
        draw = random.Random(f"{self.seed}/{trial}")
        name = draw.choices(self.names, [SCENARIOS[one].share for one in self.names])[0]
        one = SCENARIOS[name]
        done = Outcome(trial, name, earlier=draw.random() < 0.5)
        if draw.random() < MEASURED:
            self._measure(name)
        command = one.command
        self._empty()
        if done.earlier:
            shutil.copytree(self.earlier / name, self.work, dirs_exist_ok=True)
            command += ("--overwrite",) if one.folder else ()
        try:
            while True:
                way, where = draw.choice(("moment", "call")), draw.random()
                if self._kill(way, where, command, name):
                    done.kills.append(f"{way} {where:.4f}")
                if not one.folder:
                    self._check_state(name, earlier=done.earlier)
                if draw.random() < 0.5:
                    self._check_processes()
                if draw.random() >= AGAIN:
                    break
            self._finish(command, one)
            self._check_processes()
            self._check_end(name)
        except _FoundError as error:
            done.found = str(error)
        return done

    def _empty(self) -> None:
        for folder in (self.work, self.temporary):
            shutil.rmtree(folder)
            folder.mkdir()

    def _start(self, work: Callable[[], object]) -> int:
        """Do work in a forked process; return its id, which is that of a new group."""
        if self.server is not None:  # it ends if a client is killed while it sends
            self.server = _start_server()
        child = os.fork()
        if child:
            self.started.append(child)
            return child
        leave, code = os._exit, 2
        try:
            os.setsid()
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(log, 1)
            os.dup2(log, 2)
            tempfile.tempdir = str(self.temporary)
            work()
            code = 0
        except SystemExit as end:
            code = int(str(end.code))
        except BaseException:  # noqa: BLE001 - told to the parent
            traceback.print_exc()
        finally:
            leave(code)

    def _wait(self, child: int, seconds: float = SECONDS) -> int | None:
        """Return the exit code of a process, None if it still ran and was killed."""
        descriptor = os.pidfd_open(child)
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        if late := not waiting.poll(1000 * seconds):
            os.kill(child, signal.SIGKILL)
        os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return None if late and code == -signal.SIGKILL else code

    def _kill(self, way: str, where: float, command: tuple[str, ...], name: str) -> bool:
        """Run a command that is killed, unless it ends before; return whether it was killed."""
        one = SCENARIOS[name]
        if way == "call":
            injector = Injector(int(where * self.calls[name]), kill=True)
            code = self._wait(self._start(lambda: _run(command, one, injector)))
            killed = code == FAULT
        else:
            code = self._wait(self._start(lambda: _run(command, one)), where * self.seconds[name])
            killed = code is None
        if not killed and code != 0 and not self._server_ended():
            raise _FoundError(f"exit code {code}: {self._printed()}")
        return killed

    def _finish(
        self,
        command: tuple[str, ...],
        one: Scenario | None,
        tell: Callable[[], object] | None = None,
        injector: Injector | None = None,
    ) -> None:
        """Run a command to its end, and perhaps let its process tell something at its end."""

        def work() -> None:
            _run(command, one, injector)
            if tell is not None:
                self.said.write_text(str(tell()))

        if (code := self._wait(self._start(work))) != 0:
            if self._server_ended():
                self._finish(command, one, tell, injector)
                return
            raise _FoundError(f"exit code {code} of the repeated command: {self._printed()}")

    def _server_ended(self) -> bool:
        """Return whether the server of the tests has ended, as when a client is killed amid a
        message; a command that needed it has failed then."""
        if self.server is None:
            return False
        if "Connection refused" in self._printed():  # it may take seconds to end
            os.kill(self.server, signal.SIGKILL)
            os.waitid(os.P_PID, self.server, os.WEXITED | os.WNOWAIT)
        return self.server != _start_server()

    def _printed(self) -> str:
        return self.log.read_text(errors="replace")[-1000:]

    def _check_state(self, name: str, *, earlier: bool) -> None:
        """Check that an output is the earlier one, the new one or, if there was none, missing."""
        (path,) = (Path(one) for one in SCENARIOS[name].command if one.startswith(OUT))
        if (path.is_dir() and not (path / MODEL_FILE).exists()) or not path.exists():
            if earlier:
                raise _FoundError("the earlier output is gone")
            return
        if path.is_dir():
            try:
                load_model(path)
            except XtalshiftError as error:
                raise _FoundError(f"after a kill: {error}") from error
            path /= MODEL_FILE
        known = [self.ends[name][path.relative_to(OUT_FOLDER).as_posix()]]
        if earlier:
            known.append(_content(self.earlier / name / path.relative_to(OUT_FOLDER)))
        if _content(path) not in known:
            raise _FoundError(f"{path} is neither the earlier nor the new one")

    def _check_processes(self) -> None:
        """Check that all processes of killed commands end."""
        end = time.monotonic() + PATIENCE
        while left := self._running():
            if time.monotonic() > end:
                found = [_describe_process(process) for process in left]
                for process in left:
                    os.kill(process, signal.SIGKILL)
                raise _FoundError(f"processes are left: {found}")
            time.sleep(0.002)
        self.started.clear()

    def _running(self) -> list[int]:
        """Return the workers of the server, and the processes in the groups of commands."""
        found = []
        if self.server is not None:
            children = _read(f"/proc/{self.server}/task/{self.server}/children")
            found += [
                child
                for child in map(int, children.split())
                if "State:\tZ" not in _read(f"/proc/{child}/status")  # ended, not yet reaped
            ]
        for group in self.started:
            with suppress(ProcessLookupError):
                os.killpg(group, 0)
                found.append(group)
        return found

    def _check_end(self, name: str) -> None:
        """Check that the output is that of an undisturbed command, and nothing else is left."""
        found, wanted = content(self.work), self.ends[name]
        differ = sorted(
            path
            for path in found.keys() | wanted.keys()
            if path not in found or path not in wanted or found[path] != wanted[path]
        )
        if differ:
            raise _FoundError(f"differ: {differ}")
        if any(self.temporary.iterdir()):  # the next command with workers removes it
            self._wait(self._start(lambda: shutil.rmtree(make_temporary_folder())))
        if left := sorted(path.name for path in self.temporary.iterdir()):
            raise _FoundError(f"left in TMPDIR: {left}")
        if left := sorted(set(_list_shared_memory()) - self._shared_memory):
            raise _FoundError(f"left in shared memory: {left}")


def _describe_process(process: int) -> str:
    """Return id, parent, state and what it waits for, of a process and its parent."""
    told = []
    for each in (process, _read_parent(process)):
        state = re.search(r"State:\s*(.*)", _read(f"/proc/{each}/status"))
        waits = _read(f"/proc/{each}/wchan")
        told.append(f"{each}: {state[1] if state else 'gone'}, waits in {waits or '-'}")
    return ", child of ".join(told)


def _read_parent(process: int) -> int:
    parent = re.search(r"PPid:\s*(\d+)", _read(f"/proc/{process}/status"))
    return int(parent[1]) if parent else 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _list_shared_memory() -> list[str]:
    folder = Path("/dev/shm")
    return [path.name for path in folder.glob("*") if path.is_file()]


def _run(command: tuple[str, ...], one: Scenario | None, injector: Injector | None = None) -> None:
    """Run a command in this process; raise `SystemExit` if it fails."""
    os.fsync = lambda _: None  # a kill does not need the disk
    if one is None or not one.workers:
        for module in (parallel, cli_benchmark, cli_screen):
            module.make_executor = lambda *_, **__: InProcessExecutor()
    with nullcontext() if injector is None else injector.installed():
        try:
            main(command)
        except SystemExit as end:
            if end.code:
                raise
        multiprocessing.util._exit_function()  # the rest takes half the time


def _start_server() -> int:
    """Start the server that forks workers, one for all commands, unless it runs; return its id.

    A command's own server, which takes seconds to load, serves no other command.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["xtalshift.benchmark.worker", "xtalshift.model.persist", "lightgbm", "sklearn.ensemble",
         "xtalshift.parallel.processes", "threadpoolctl", "torch._dynamo"]
    )  # fmt: skip
    forkserver.ForkServer.ensure_running(forkserver._forkserver)
    forkserver._forkserver.ensure_running = lambda: None  # a forked process is not its parent
    return forkserver._forkserver._forkserver_pid


def kill_many(out: Path, kills: int, names: list[str], seed: int) -> None:
    """Append the outcomes of trials to a file of JSON lines until it tells of so many kills."""
    lines = out.read_text().splitlines() if out.exists() else []
    done = sum(len(json.loads(line)["kills"]) for line in lines)
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        place = Kills(folder, names, seed)
        for trial in count(len(lines)):
            if done >= kills:
                break
            outcome = place.try_one(trial)
            done += len(outcome.kills)
            append(out, (json.dumps(asdict(outcome)) + "\n").encode())
            if outcome.found:
                shutil.copytree(place.work, out.with_suffix(f".{trial}"))
    finally:
        os.chdir(folder.parent)
        shutil.rmtree(folder)


def kill_from_command_line() -> None:
    """Read the arguments of the program, and kill."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    given = parser.parse_args()
    kill_many(given.out.absolute(), given.kills, given.scenarios, given.seed)
