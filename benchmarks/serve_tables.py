"""How many rows ``xtalshift serve`` predicts for many clients at once, beside the command.

    python benchmarks/serve_tables.py [--clients 50] [--rows 10000] [--own-rows 500000]

Each client sends a CSV of its own and writes the answer to a file. Printed are the rows per second
of all together, those of `xtalshift predict` (its job, in one process; its table is as long as all
of them unless said otherwise), and the peak memory of the server. The load of the machine stands
beside.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import xtalshift as xs
from xtalshift.jobs.predict import predict_file
from xtalshift.model.table_predictor import TablePredictor


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--own-rows", type=int, help="of the command; by default as many")
    parser.add_argument("--method", default="ridge")
    asked = parser.parse_args()
    asked.own_rows = asked.own_rows or asked.rows * asked.clients
    with TemporaryDirectory() as folder:
        place = Path(folder)
        data = xs.load_dataset("ricci_seebeck")
        xs.save_model(xs.fit(data.take(np.arange(3000)), asked.method), place / "models" / "model")
        formulas = data.formulas.tolist()
        table = write_table(place / "part.csv", formulas, asked.rows)
        whole = write_table(place / "whole.csv", formulas, asked.own_rows)
        command = [sys.executable, "-m", "xtalshift", "serve", str(place / "models")]
        command += ["--port", "0", "--no-open", "--store", str(place / "store")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                url = server.stdout.readline().split()[-1]
                measure(server.pid, url, place, table, whole, asked)
            finally:
                server.kill()


def measure(
    pid: int, url: str, place: Path, table: Path, whole: Path, asked: argparse.Namespace
) -> None:
    """Print everything about a server that runs."""
    total = asked.rows * asked.clients
    with xs.Client(url) as client:
        client.predict("model", ["GaN"])  # it is loaded
    before = peak_memory(pid)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    began = time.perf_counter()
    with ThreadPoolExecutor(asked.clients) as pool:
        failed = [one for one in pool.map(lambda n: send(url, table, place, n),
                                          range(asked.clients)) if one]  # fmt: skip
    served = time.perf_counter() - began
    print(
        f"{asked.clients} clients with {asked.rows:,} rows each: {served:.1f} s, "
        f"{total / served:,.0f} rows/s, {len(failed)} errors {failed[:1]}"
    )
    print(f"peak memory of the server: {before:.0f} MiB before, {peak_memory(pid):.0f} MiB after")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    model = xs.load_model(place / "models" / "model")
    began = time.perf_counter()
    predict_file(TablePredictor(model), whole, place / "own.csv")
    own = time.perf_counter() - began
    print(f"the command, {asked.own_rows:,} rows: {own:.1f} s, {asked.own_rows / own:,.0f} rows/s")
    share = total / served / (asked.own_rows / own)
    print(f"the server has {share:.0%} of the throughput of the command")


def send(url: str, table: Path, place: Path, number: int) -> str:
    """Predict a table; return what went wrong, or an empty text."""
    try:
        with xs.Client(url) as client:
            client.predict_file("model", table, place / f"out-{number}.csv")
    except xs.XtalshiftError as error:
        return str(error)
    return ""


def write_table(path: Path, formulas: list[str], rows: int) -> Path:
    """Write a CSV with some formulas, again and again."""
    with path.open("w", encoding="utf-8") as file:
        file.write("formula\n")
        for row in range(rows):
            file.write(f"{formulas[row % len(formulas)]}\n")
    return path


def peak_memory(pid: int) -> float:
    """Return the largest resident memory of a process so far, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    line = next(one for one in lines if one.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
