"""Ask whether the tests can fail: change one operator or number of the source, run the tests.

``python tools/mutation_run.py`` draws a fixed sample of such changes (mutants), applies each to a
copy of the source, runs the tests that execute the changed line and writes one line of JSON per
mutant to ``runs/mutants/mutants.jsonl``. A mutant that no test notices is either equivalent to the
source or a missing assertion. A run that was stopped goes on where it was; ``--again`` runs the
survivors once more. It takes one core. Another source is another sample: delete the folder then.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

from coverage import CoverageData

ROOT = Path(__file__).parents[1]
PACKAGE = Path("src/xtalshift")
TESTS = ("tests/unit", "tests/contracts", "tests/integration")
ROOMS = ("chem", "data", "splits", "cal", "uncertainty", "model")
MOST_PER_FILE = 8
WAITING = 5  # a child may wait this many times as long as it may compute
# imported once; each mutant runs in a fork of this process
PRELOAD = (
    *("numpy", "scipy.stats", "pandas", "pyarrow.parquet", "pydantic.main", "tomli_w"),
    *("torch.func", "torch.distributed.tensor", "torch.fx.experimental.symbolic_shapes"),
    *("sklearn.ensemble", "sklearn.model_selection", "sklearn.impute", "lightgbm"),
    *("rich", "typer", "xdist.plugin", "pytest_timeout", "pytest_cov.plugin"),
)

_OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
_OTHER_NAME = {
    "min": "max",
    "amin": "amax",
    "argmin": "argmax",
    "minimum": "maximum",
    "clamp_min": "clamp_max",
    "floor": "ceil",
    "any": "all",
}
_OTHER_NAME |= {other: name for name, other in _OTHER_NAME.items()}


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes
    ----------
    path : str
        The file, from the root of the repository.
    lines : tuple of tuple of int
        First and last line of the changed expression and of the definitions around it, the
        narrowest first.
    column : int
        Where the expression begins in its first line.
    span : tuple of int
        First and last byte of the text that is replaced.
    before, after : str
        That text, and what stands in its place.
    """

    path: str
    lines: tuple[tuple[int, int], ...]
    column: int
    span: tuple[int, int]
    before: str
    after: str

    @property
    def name(self) -> str:
        """Name of the mutant: place and change."""
        place = f"{self.path}:{self.lines[0][0]}:{self.column}"
        return f"{place} {self.before} -> {self.after}"

    @property
    def room(self) -> str:
        """Folder of the package."""
        return self.path.split("/")[2]


class _Finder(ast.NodeVisitor):
    """Collect the mutants of one file. Texts, annotations, errors and decorators stay."""

    def __init__(self, path: str, source: bytes) -> None:
        self.path = path
        self.source = source
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.scopes = [(1, len(self.starts) - 1)]
        self.mutants: list[Mutant] = []

    def add(self, node: ast.AST, after: ast.AST | str) -> None:
        """Note that `node` may be replaced by `after`."""
        place: Any = node
        span = (
            self.starts[place.lineno - 1] + place.col_offset,
            self.starts[place.end_lineno - 1] + place.end_col_offset,
        )
        text = after if isinstance(after, str) else f"({ast.unparse(after)})"
        lines = ((place.lineno, place.end_lineno), *reversed(self.scopes))
        before = self.source[span[0] : span[1]].decode()
        self.mutants.append(Mutant(self.path, lines, place.col_offset, span, before, text))

    def visit(self, node: ast.AST) -> None:
        """Visit a node that may change."""
        if not isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr):
            super().visit(node)

    def scope(self, node: ast.ClassDef | ast.FunctionDef, parts: list[ast.AST]) -> None:
        """Visit the parts of a definition."""
        self.scopes.append((node.lineno, node.end_lineno or node.lineno))
        for part in parts:
            self.visit(part)
        self.scopes.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if not any(ast.unparse(mark).endswith("overload") for mark in node.decorator_list):
            defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            self.scope(node, [*defaults, *node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.scope(node, [*node.body])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value and "TypeAlias" not in ast.unparse(node.annotation):
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if ast.unparse(node.targets[0]) != "__all__":
            self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.add(node, str(not node.value))
        elif isinstance(node.value, int | float):
            self.add(node, str(node.value + 1))

    def visit_Compare(self, node: ast.Compare) -> None:
        for i, op in enumerate(node.ops):
            ops = [*node.ops[:i], _OTHER[type(op)](), *node.ops[i + 1 :]]
            self.add(node, ast.Compare(node.left, ops, node.comparators))  # type: ignore[arg-type]
        self.generic_visit(node)

    def _other_operator(self, node: ast.BinOp | ast.BoolOp | ast.AugAssign) -> None:
        other = copy.copy(node)
        # `int | None` outside a function is a type
        is_type = isinstance(node.op, ast.BitOr) and len(self.scopes) == 1
        if type(node.op) in _OTHER and not is_type:
            other.op = _OTHER[type(node.op)]()  # type: ignore[assignment]
            self.add(node, ast.unparse(other) if isinstance(node, ast.AugAssign) else other)
        self.generic_visit(node)

    visit_BinOp = visit_BoolOp = visit_AugAssign = _other_operator  # noqa: N815

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub | ast.Invert):
            self.add(node, node.operand)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func
        other: ast.expr | None = None
        if isinstance(called, ast.Name) and called.id in _OTHER_NAME:
            other = ast.Name(_OTHER_NAME[called.id])
        elif isinstance(called, ast.Attribute) and called.attr in _OTHER_NAME:
            other = ast.Attribute(called.value, _OTHER_NAME[called.attr])
        if other is not None:
            self.add(node, ast.Call(other, node.args, node.keywords))
        # the second argument of isinstance is a type
        is_check = isinstance(called, ast.Name) and called.id == "isinstance"
        for part in [called, *node.args[: 1 if is_check else None], *node.keywords]:
            self.visit(part)

    def visit_Slice(self, node: ast.Slice) -> None:
        for bound in (node.lower, node.upper):
            if bound is not None and not isinstance(bound, ast.Constant):
                self.add(bound, ast.BinOp(bound, ast.Add(), ast.Constant(1)))
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and ast.unparse(node.value) not in {"None", "True", "False"}:
            self.add(node.value, "None")
        self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self.add(node, "break")

    def visit_Break(self, node: ast.Break) -> None:
        self.add(node, "continue")


def find_mutants(room: str) -> list[Mutant]:
    """Return all mutants of a folder of the package."""
    found: list[Mutant] = []
    for path in sorted((ROOT / PACKAGE / room).rglob("*.py")):
        source = path.read_bytes()
        finder = _Finder(path.relative_to(ROOT).as_posix(), source)
        finder.visit(ast.parse(source))
        found += finder.mutants
    return found


def draw(rooms: list[str], n: int, seed: int) -> list[Mutant]:
    """Return a sample of `n` mutants, each room in proportion to its mutants."""
    every = {room: find_mutants(room) for room in rooms}
    total = sum(map(len, every.values()))
    drawn: list[Mutant] = []
    for room, mutants in every.items():
        random.Random(f"{seed} {room}").shuffle(mutants)  # noqa: S311
        per_file: Counter[str] = Counter()
        quota = -(-n * len(mutants) // total)
        for mutant in mutants:
            if per_file.total() < quota and per_file[mutant.path] < MOST_PER_FILE:
                per_file[mutant.path] += 1
                drawn.append(mutant)
    return drawn


class CoveringTests:
    """Which tests execute which lines, and how long each takes.

    Parameters
    ----------
    out : Path
        Folder of the coverage data and of the times; measured if it has none.
    """

    def __init__(self, out: Path) -> None:
        if not (out / "coverage").exists():
            command = [sys.executable, "-m", "pytest", *TESTS, "-p", "no:cacheprovider"]
            command += ["-m", "not long", "--cov=xtalshift", "--cov-context=test"]
            command += ["--cov-report=", f"--junitxml={out / 'tests.xml'}"]
            environment = {**os.environ, "COVERAGE_FILE": str(out / "coverage.part")}
            subprocess.run(command, cwd=ROOT, env=environment, check=True)  # noqa: S603
            (out / "coverage.part").rename(out / "coverage")
        self.data = CoverageData(str(out / "coverage"))
        self.data.read()
        self.seconds: dict[str, float] = {}
        for case in ET.parse(out / "tests.xml").iter("testcase"):  # noqa: S314
            file = case.attrib["classname"].replace(".", "/") + ".py"
            self.seconds[f"{file}::{case.attrib['name']}"] = float(case.attrib["time"])

    def of(self, mutant: Mutant, budget: float, *, whole: bool = False) -> list[str]:
        """Return the tests to run: those of the room, then others of about `budget` seconds.

        With `whole`, and for constants of a module, all tests of the room.
        """
        by_line = self.data.contexts_by_lineno(str(ROOT / mutant.path))
        tests: set[str] = set()
        for first, last in mutant.lines:
            if not tests:  # a line that runs at import: take the tests of the definition around it
                contexts = (by_line.get(line, []) for line in range(first, last + 1))
                tests = {c.rpartition("|")[0] for cs in contexts for c in cs if c}
                whole |= not tests
        files: dict[str, list[str]] = defaultdict(list)
        for test in tests:
            files[test.partition("::")[0]].append(test)
        mirror = mutant.path.replace("src/xtalshift", "tests/unit")
        mirror = str(Path(mirror).with_name(f"test_{Path(mirror).name}"))
        near = f"tests/unit/{mutant.room}/"
        if (ROOT / mirror).exists():  # all of it: later tests use what the first one computed
            files[mirror] = [mirror]
        if whole:
            paths = (ROOT / near).rglob("test_*.py")
            files |= {(name := str(path.relative_to(ROOT))): [name] for path in paths}
        times = {file: sum(self.seconds.get(t, 0.1) for t in files[file]) for file in files}
        chosen: list[str] = []
        spent = 0.0
        for file in sorted(files, key=lambda f: (f != mirror, not f.startswith(near), times[f])):
            for test in sorted(files[file], key=lambda t: self.seconds.get(t, 0.1)):
                if spent < budget or file.startswith(near):
                    chosen.append(test)
                    spent += self.seconds.get(test, 0.1)
        return chosen


class _Chosen:
    """Plugin of pytest: run the chosen tests in their order; write what failed to a file."""

    def __init__(self, tests: list[str], report: Path) -> None:
        self.place = {test: i for i, test in enumerate(tests)}
        self.report = report

    def pytest_collection(self) -> None:
        """Take the first failing example, however slow the machine is today."""
        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("mutants", derandomize=True, deadline=None, phases=phases)
        settings.load_profile("mutants")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        place, far = self.place, len(self.place)
        wanted = {
            item: min(place.get(item.nodeid, far), place.get(item.nodeid.partition("::")[0], far))
            for item in items
        }
        items[:] = sorted((i for i in items if wanted[i] < far), key=lambda i: wanted[i])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            with self.report.open("a") as file:
                file.write(f"{report.nodeid}\n")


def _run_in_child(copy_of: Path, tests: list[str], report: Path) -> int:
    os.setpgid(0, 0)
    with (copy_of / "output.txt").open("w") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    os.environ["PYTHONPATH"] = str(copy_of / "src")
    sys.path.insert(0, os.environ["PYTHONPATH"])
    os.chdir(ROOT)
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    args = [*files, "-xq", "--assert=plain", "-pno:cacheprovider", "-m", "not long"]
    return int(pytest.main(args, plugins=[_Chosen(tests, report)]))


def run_tests(copy_of: Path, tests: list[str], limit: float) -> tuple[str, str]:
    """Run tests on a copy of the source in a fork of this process, `limit` seconds at most.

    Returns
    -------
    outcome : {"killed", "survived", "timeout"}
    test : str
        The first test that failed.
    """
    report = copy_of / "failed.txt"
    report.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        result = int(pytest.ExitCode.INTERNAL_ERROR)
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (ceil(limit), ceil(limit)))
            result = _run_in_child(copy_of, tests, report)
        finally:
            os._exit(result)
    deadline = time.monotonic() + WAITING * limit
    code: int | None = None
    while code is None and time.monotonic() < deadline:
        time.sleep(0.05)
        done, status = os.waitpid(child, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if done else None
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # and the processes that the tests started
    if code is None:
        os.waitpid(child, 0)
    if code in {None, -signal.SIGKILL, -signal.SIGXCPU}:
        return "timeout", ""
    if code in {0, 5}:
        return "survived", ""
    if code in {pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERNAL_ERROR}:
        raise SystemExit((copy_of / "output.txt").read_text())
    failed = report.read_text().splitlines() if report.exists() else ["collection"]
    return "killed", failed[0]


def try_mutant(copy_of: Path, mutant: Mutant, tests: list[str], clean: float) -> dict[str, Any]:
    """Return the record of one mutant; `clean` is the time of its tests in seconds."""
    target = copy_of / mutant.path
    source = target.read_bytes()
    first, last = mutant.span
    target.write_bytes(source[:first] + mutant.after.encode() + source[last:])
    for stale in target.parent.glob(f"__pycache__/{target.stem}.*"):
        stale.unlink()
    start = time.monotonic()
    outcome, test = "uncovered", ""
    near = [name for name in tests if name.startswith(f"tests/unit/{mutant.room}/")]
    for part in (near, [name for name in tests if name not in set(near)]):
        if part and outcome in {"uncovered", "survived"}:  # far tests import much: only if needed
            outcome, test = run_tests(copy_of, part, max(60.0, 6 * clean))
    target.write_bytes(source)
    return {
        "mutant": mutant.name,
        "span": mutant.span,
        "room": mutant.room,
        "outcome": outcome,
        "test": test,
        "tests": len(tests),
        "seconds": round(time.monotonic() - start, 1),
    }


def summary(records: list[dict[str, Any]]) -> str:
    """Return a table: mutants, killed and not, of each room."""
    counts = {room: Counter(r["outcome"] for r in records if r["room"] == room) for room in ROOMS}
    counts["total"] = sum(counts.values(), Counter())
    lines = [f"{'room':12} mutants killed timeout survived uncovered"]
    for room, n in counts.items():
        killed = f"{n.total():7} {n['killed']:6} {n['timeout']:7}"
        lines.append(f"{room:12} {killed} {n['survived']:8} {n['uncovered']:9}")
    return "\n".join(lines)


def main() -> None:
    """Run the mutants that have no record yet, and print the summary."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rooms", default=",".join(ROOMS), help="folders of the package")
    parser.add_argument("--sample", type=int, default=300, help="number of mutants")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--budget", type=float, default=30, help="seconds of tests of other rooms")
    parser.add_argument("--again", action="store_true", help="run the survivors once more")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "mutants")
    options = parser.parse_args()
    os.nice(19)
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.dont_write_bytecode = True
    options.out.mkdir(parents=True, exist_ok=True)
    covering = CoveringTests(options.out)
    mutants = {m.name: m for m in draw(options.rooms.split(","), options.sample, options.seed)}
    log = options.out / "mutants.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    done = {record["mutant"]: record for record in map(json.loads, lines)}
    open_ = [n for n in mutants if n not in done or (options.again and _lives(done[n]))]
    for module in PRELOAD:
        import_module(module)
    with tempfile.TemporaryDirectory() as folder:
        copy_of = Path(folder)
        shutil.copytree(ROOT / "src", copy_of / "src")
        for i, name in enumerate(open_, start=1):
            tests = covering.of(mutants[name], options.budget, whole=options.again)
            clean = sum(covering.seconds.get(test, 1.0) for test in tests)
            done[name] = try_mutant(copy_of, mutants[name], tests, clean)
            with log.open("a") as file:
                file.write(json.dumps(done[name]) + "\n")
            print(f"{i}/{len(open_)} {done[name]['outcome']} {name}", flush=True)
        records = [done[name] for name in mutants]
        killers = sorted({r["test"] for r in records if r["outcome"] == "killed"} - {"collection"})
        outcome, test = run_tests(copy_of, killers, 3600.0)
    if outcome != "survived":
        raise SystemExit(f"{test} fails without a mutant: its mutants prove nothing")
    print(summary(records))
    print(*(f"lives: {record['mutant']}" for record in records if _lives(record)), sep="\n")


def _lives(record: dict[str, Any]) -> bool:
    return record["outcome"] in {"survived", "uncovered"}


if __name__ == "__main__":
    main()
