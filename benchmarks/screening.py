"""Rate, memory and profile of `xtalshift screen`, in one run.

    python benchmarks/screening.py [--formulas 200000] [--workers 2] [--train-rows 3000] [--kill]
    python benchmarks/screening.py --conditions
    python benchmarks/screening.py --method auto --table mp_gap --train-rows 20000

Distinct formulas are enumerated in an order that depends on nothing, and written to a CSV
(--shuffled: in random order, where walking down trees is slower: like rows take like ways). The
model is ERM with the architecture irnet-cpu on ricci_seebeck, with intervals and domain; it is
trained for few epochs, since the rate does not depend on how good it is. --method auto trains the
default stack on random rows of --table instead (20,000 rows take minutes), and --model names a
saved model. The profile of a stack shows its members, and their trees as LightGBM walks down them.
Memory is sampled twice a second over the driver and all processes it started (Linux): `PSS`
shares pages among the processes that hold them, `RSS` counts them in each. --kill stops the
driver by SIGKILL at about half of the rows, continues, and compares the bytes with those of an
undisturbed run.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xtalshift.chem.enumeration import enumerate_formulas

if TYPE_CHECKING:
    from xtalshift.estimators.predictors import Predictor

ELEMENTS = (
    "Li Na K Mg Ca Sr Ba Al Ga In Si Ge Sn Ti Zr Mn Fe Co Ni Cu Zn Ag La O S Se Te F Cl Br N P"
)
CALIBRATION_ROWS = 1000
COMMAND = "from xtalshift.cli.screen import screen_command; import typer; typer.run(screen_command)"


def first_formulas(n: int) -> Iterator[str]:
    """Yield the first `n` distinct formulas."""
    left = n
    for block in enumerate_formulas(
        ELEMENTS.split(), max_atoms=16, min_elements=3, max_elements=5, charges=None
    ):
        yield from block.formulas[:left]
        left -= len(block.formulas[:left])
        if not left:
            return
    raise SystemExit(f"there are only {n - left:,} such formulas")


def write_balanced(path: Path, n: int) -> None:
    """Write `n` formulas that ions balance, in random order."""
    formulas = [
        formula
        for block in enumerate_formulas(ELEMENTS.split(), max_atoms=12, max_elements=4)
        for formula in block.formulas
    ]
    chosen = np.random.default_rng(0).permutation(len(formulas))[:n].tolist()
    path.write_text("\n".join(["formula", *(formulas[place] for place in chosen)]) + "\n")


def write_formulas(path: Path, n: int, *, shuffled: bool) -> None:
    """Write the first `n` distinct formulas."""
    formulas = first_formulas(n)
    if shuffled:
        drawn = list(formulas)
        formulas = (drawn[place] for place in np.random.default_rng(0).permutation(n))
    with path.open("w") as stream:
        stream.write("formula\n")
        stream.writelines(f"{formula}\n" for formula in formulas)


def train_network(folder: Path, table: str, rows: int, epochs: int) -> None:
    """Train and save a network."""
    from xtalshift.data import clean_table, read_table
    from xtalshift.estimators.irnet import IRNetRegressor
    from xtalshift.model import calibrate, draw_rows, fit
    from xtalshift.splits import RandomSplit
    from xtalshift.uncertainty.settings import IntervalConfig

    data = clean_table(read_table(table), duplicates="keep")
    split = RandomSplit(CALIBRATION_ROWS / len(data), random_state=0)
    held = split.held_out(data.y[:, None], data.y, data.groups)
    fitted = np.flatnonzero(~held)[:rows]
    regressor = IRNetRegressor("irnet-cpu", epochs=epochs, random_state=0)
    rows_of = draw_rows(data.groups, within=fitted)
    model = fit(data, regressor, rows=rows_of, intervals=IntervalConfig(method="none"))
    model = calibrate(model, data.take(held), origin="held-out")
    print(f"model of {len(fitted):,} rows, intervals of {held.sum():,}")
    model.save(folder)


def train_stack(folder: Path, table: str, rows: int) -> None:
    """Train `auto` on random rows, and save it."""
    from xtalshift.data import clean_table, read_table
    from xtalshift.model import fit

    data = clean_table(read_table(table))
    drawn = np.random.default_rng(0).permutation(len(data))[:rows]
    begin = time.perf_counter()
    model = fit(data.take(np.sort(drawn)), "auto")
    print(f"auto of {len(drawn):,} rows, {time.perf_counter() - begin:.0f} s")
    model.save(folder)


def profile(model: Path, source: Path) -> None:
    """Print where the time of a chunk goes, in processor time of one thread."""
    from xtalshift.chem.compositions import AS_WRITTEN, parse_formulas
    from xtalshift.chem.families import family_codes
    from xtalshift.data.settings import BY_DEFAULT
    from xtalshift.model.intervals import predictive, score_rows
    from xtalshift.screening.distinct import SeenHashes, hash_rows
    from xtalshift.screening.inputs import Inputs
    from xtalshift.screening.screener import Screener, Sources, arrow_column, parquet_bytes
    from xtalshift.screening.settings import ScreenSettings

    settings = ScreenSettings.from_dict({"top": {"k": 100}})
    screener = Screener(Sources(model), settings)
    inputs = Inputs([source])
    block = list(inputs.blocks(settings.chunk_rows, limit=5 * settings.chunk_rows))[-1]
    n = block.rows

    def cost(job: Callable[[], object]) -> float:
        seconds = []
        for _ in range(3):
            begin = time.process_time()
            job()
            seconds.append(time.process_time() - begin)
        return min(seconds) / n * 1e6

    fitted = screener.predictor.model
    regressor, domain, calibration = fitted.regressor, fitted.domain, fitted.calibration
    table, rows = block.parse(["formula"])
    formulas = rows.frame["formula"].tolist()
    compositions, _, _ = parse_formulas(formulas)
    features = fitted.featurizer.featurize(compositions).values
    scored = score_rows(regressor, features, calibration.kind)
    distribution = predictive(scored, calibration, fitted.scale)
    threshold = float(np.median(scored.center))
    columns = screener.predict(rows, block).columns
    for name, values in columns.items():
        table = table.append_column(name, arrow_column(values))
    steps = {
        "read (driver)": lambda: list(inputs.blocks(settings.chunk_rows, limit=n)),
        "distinct (driver, optional)": lambda: SeenHashes().add(
            hash_rows(rows, BY_DEFAULT, (), AS_WRITTEN)[0]
        ),
        "decode": lambda: block.parse(["formula"]),
        "parse": lambda: parse_formulas(formulas),
        "features": lambda: fitted.featurizer.featurize(compositions),
        "n_clipped": lambda: regressor.n_clipped(features),
        "regressor": lambda: score_rows(regressor, features, calibration.kind),
        **_member_jobs(regressor, features),
        "two intervals": lambda: [distribution.interval(p) for p in (0.68, 0.9)],
        "probability (optional)": lambda: distribution.probability(above=threshold),
        "families (optional)": lambda: family_codes(compositions),
        "domain: score and nearest": lambda: domain.assess(features),
        "domain: unseen elements": lambda: domain.unseen_elements(compositions),
        "columns to Arrow": lambda: [arrow_column(values) for values in columns.values()],
        "Parquet": lambda: parquet_bytes(table),
        "whole chunk": lambda: screener.screen(block),
    }
    print("microseconds of one core per formula:")
    for name, job in steps.items():
        print(f"  {name:<42}{cost(job):8.2f}", flush=True)


def _member_jobs(regressor: Predictor, features: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return the predictions of each member of a stack; of trees also as LightGBM walks down."""
    jobs: dict[str, Callable[[], object]] = {}
    for one in getattr(regressor, "members_", ()):
        trees = getattr(one.predictor, "trees_", None)
        jobs[f"  {one.name}"] = partial(one.predict, features, regressor.bounds_)
        if trees is not None:
            rows = one.take_columns(features)
            jobs[f"    {trees.booster.num_trees():,} trees, walking"] = partial(trees.walk, rows, 1)
    return jobs


def recall(model: Path, source: Path, n: int = 20_000) -> None:
    """Print how often the nearest material is the exactly nearest, for rows of the whole file."""
    import pyarrow.csv
    from sklearn.metrics import pairwise_distances_argmin_min

    from xtalshift.model import load_model

    column = pyarrow.csv.read_csv(source)["formula"]
    rows = np.unique(np.linspace(0, len(column) - 1, n).astype(np.int64))
    fitted = load_model(model)
    features = fitted.features_of(column.take(rows).to_pylist())
    found = fitted.domain.assess(features)
    reference = fitted.domain.novelty_.reference
    points = reference.index.unsorted()
    exact, _ = pairwise_distances_argmin_min(reference.scaler.transform(features), points)
    print(
        f"recall@1 among {len(points):,} training materials: "
        f"{np.mean(found.nearest == exact):.4f} of {len(rows):,} rows"
    )


def conditions(model: Path, folder: Path, n: int) -> None:
    """Print what conditions on the table of the best cost, in processor time of one thread."""
    from xtalshift.screening.settings import ScreenSettings
    from xtalshift.screening.stream import screen

    source = folder / f"balanced-{n}.csv"
    if not source.exists():
        write_balanced(source, n)
    cases = {
        "plain": {},
        "diverse": {"diverse": "chemsys"},
        "plausible": {"min_plausibility": 0.01},
    }
    first = ScreenSettings.from_dict({"limit_rows": 1000})
    screen(model, [source], folder / "conditions", first, overwrite=True)  # loads the libraries
    print("processor time of whole screenings, in microseconds per formula:")
    for k in (100, 1000):
        base = 0.0
        for name, values in cases.items():
            settings = ScreenSettings.from_dict({"top": {"k": k, **values}})
            begin = time.process_time()
            summary = screen(model, [source], folder / "conditions", settings, overwrite=True)
            cost = (time.process_time() - begin) / summary.counts["rows"] * 1e6
            base = base or cost
            refused = summary.counts["implausible"]
            print(f"  top {k} {name:<12}{cost:8.1f}  x {cost / base:.2f}, {refused:,} refused")


def start(model: Path, source: Path, out: Path, options: list[str]) -> subprocess.Popen[bytes]:
    """Begin the command."""
    arguments = [str(model), str(source), "-o", str(out), *options]
    return subprocess.Popen([sys.executable, "-c", COMMAND, *arguments])


def process_tree(pid: int) -> Iterator[int]:
    """Yield a process and all below it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from process_tree(int(child))


class Usage:
    """Peak memory in MiB, and processor time in seconds, of a process and all below it."""

    def __init__(self) -> None:
        self.pss = self.rss = 0.0
        self._ticks: dict[int, int] = {}

    @property
    def seconds(self) -> float:
        """User and system time, up to the last sample."""
        return sum(self._ticks.values()) / os.sysconf("SC_CLK_TCK")

    def sample(self, pid: int) -> None:
        """Look at all processes."""
        sums = {"Pss:": 0, "Rss:": 0}
        for one in process_tree(pid):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            for name, size, *_ in map(str.split, lines):
                if name in sums:
                    sums[name] += int(size)
            stat = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            self._ticks[one] = int(stat[11]) + int(stat[12])
        self.pss = max(self.pss, sums["Pss:"] / 1024)
        self.rss = max(self.rss, sums["Rss:"] / 1024)


def run(
    model: Path, source: Path, out: Path, options: list[str], kill_at: int | None = None
) -> Usage:
    """Run the command, or kill it at some number of parts; return what it used."""
    process = start(model, source, out, options)
    usage = Usage()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            with contextlib.suppress(OSError):  # a process has just ended
                usage.sample(process.pid)

    watcher = threading.Thread(target=watch)
    watcher.start()
    while process.poll() is None:
        time.sleep(0.05)
        if kill_at is not None and len(list((out / "parts").glob("part*"))) >= kill_at:
            os.kill(process.pid, signal.SIGKILL)
            kill_at = None
    ended.set()
    watcher.join()
    return usage


def hashes(out: Path) -> dict[str, str]:
    """Return what must not depend on how it ran."""
    paths = [*sorted((out / "parts").iterdir()), out / "top.csv"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def find_model(given: argparse.Namespace) -> Path:
    """Return the folder of the model, after its training if there is none."""
    if given.model:
        return Path(given.model)
    model = Path(given.folder / f"{given.method}-{given.table}-{given.train_rows}")
    if not model.exists() and given.method == "auto":
        train_stack(model, given.table, given.train_rows)
    elif not model.exists():
        train_network(model, given.table, given.train_rows, given.epochs)
    return model


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--formulas", type=int, default=200_000)
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--method", choices=["network", "auto"], default="network")
    parser.add_argument("--table", default="ricci_seebeck")
    parser.add_argument("--train-rows", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("runs/screening"))
    parser.add_argument("--distinct", action="store_true")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--no-profile", action="store_true")
    parser.add_argument("--conditions", action="store_true", help="measure only these")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.conditions:
        conditions(find_model(given), given.folder, given.formulas)
    else:
        measure(given)


def measure(given: argparse.Namespace) -> None:
    """Profile a model, and measure how it screens."""
    order = "-shuffled" if given.shuffled else ""
    source = given.folder / f"formulas-{given.formulas}{order}.csv"
    if not source.exists():
        write_formulas(source, given.formulas, shuffled=given.shuffled)
    model = find_model(given)
    if not given.no_profile:
        profile(model, source)
        recall(model, source)
    options = ["--workers", str(given.workers), "--top", "100"]
    options += ["--distinct"] if given.distinct else []
    out = given.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    begin = time.perf_counter()
    usage = run(model, source, out, options)
    wall = time.perf_counter() - begin
    summary = json.loads((out / "screen.json").read_text())
    rate = summary["host"]["rows_per_second"]
    print(f"{given.workers} workers, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at end")
    print(f"counts: {summary['counts']}")
    print(
        f"{rate:,.0f} formulas/s, {rate / given.workers:,.0f} per worker; {wall:.0f} s with start"
    )
    cost = usage.seconds / given.formulas
    print(
        f"{1e6 * cost:.1f} us of processor time per formula, with start: {1 / cost:,.0f}/s per core"
    )
    print(f"peak memory of all processes: PSS {usage.pss:,.0f} MiB, RSS {usage.rss:,.0f} MiB")
    size = sum(path.stat().st_size for path in (out / "parts").iterdir())
    print(f"parts: {size / 2**20:,.1f} MiB, {size / given.formulas:.0f} bytes per formula")
    if given.kill:
        again = given.folder / "killed"
        shutil.rmtree(again, ignore_errors=True)
        run(model, source, again, options, kill_at=max(1, summary["chunks"] // 2))
        done = len(list((again / "parts").glob("part*")))
        run(model, source, again, options)
        same = hashes(again) == hashes(out)
        print(f"killed after {done} of {summary['chunks']} parts, continued: same bytes: {same}")


if __name__ == "__main__":
    main()
