"""How quickly ``xtalshift serve`` answers, and how much memory it needs.

    python benchmarks/serve_latency.py [--rows 1000000] [--idle 32] [--clients 50]

prints percentiles of the time of a prediction of one formula beside idle connections, the same
without HTTP in one process, the errors and times of many clients at once, and the peak memory of
the server before and after a table of many rows. The load of the machine stands beside them.
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

import httpx
import numpy as np

import xtalshift as xs

FORMULAS = ("GaN", "LiFePO4", "MgO", "TiO2", "ZnS", "NaCl", "BaTiO3", "Fe2O3")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--idle", type=int, default=32)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--method", default="ridge")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        place = Path(folder)
        data = xs.load_dataset("ricci_seebeck").take(np.arange(3000))
        xs.save_model(xs.fit(data, asked.method), place / "models" / "model")
        command = [sys.executable, "-m", "xtalshift", "serve", str(place / "models")]
        command += ["--port", "0", "--store", str(place / "store")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                measure(server, server.stdout.readline().split()[-1], place, asked)
            finally:
                server.kill()


def measure(
    server: subprocess.Popen[str], url: str, place: Path, asked: argparse.Namespace
) -> None:
    """Print everything about a server that runs."""
    path = f"{url}/api/v1/models/model/predict"
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    began = time.perf_counter()
    with httpx.Client() as client:
        client.post(path, json={"formulas": ["GaN"]}).raise_for_status()
        print(f"first prediction, with the model loaded from disk: {since(began):.0f} ms")
        idle = [httpx.Client() for _ in range(asked.idle)]
        for one in idle:
            one.get(f"{url}/healthz").raise_for_status()
        used = processor_time(server.pid)
        times = [ask(client, path, number) for number in range(400)]
        used = processor_time(server.pid) - used
        show(f"one formula over HTTP, beside {asked.idle} idle connections", times)
        print(f"processor time of the server for each: {1000 * used / len(times):.1f} ms")
        model = xs.load_model(place / "models" / "model")
        model.predict(["GaN"])
        own = []
        used = time.process_time()
        for number in range(400):
            began = time.perf_counter()
            model.predict([FORMULAS[number % len(FORMULAS)]])
            own.append(since(began))
        used = time.process_time() - used
        show("one formula by FittedModel.predict", own)
        print(f"processor time for each: {1000 * used / len(own):.1f} ms")
        print(f"ratio of the medians: {np.median(times) / np.median(own):.1f}")
        print(f"memory of the server: {memory(server.pid):.0f} MiB")
        with ThreadPoolExecutor(asked.clients) as threads:
            many = list(threads.map(lambda one: burst(path, one), range(asked.clients)))
        show(f"{asked.clients} clients, 20 formulas each, one by one", np.concatenate(many))
        print(f"memory of the server: {memory(server.pid):.0f} MiB")
        table = place / "table.csv"
        table.write_text("formula\n" + "".join(f"{FORMULAS[n % 8]}\n" for n in range(asked.rows)))
        began = time.perf_counter()
        with xs.Client(url) as own_client:
            own_client.predict_file("model", table, place / "out.csv")
        seconds = since(began) / 1000
        print(f"{asked.rows:,} rows of CSV: {seconds:.0f} s; memory {memory(server.pid):.0f} MiB")
        for one in idle:
            one.close()


def ask(client: httpx.Client, path: str, number: int) -> float:
    """Return the milliseconds of one prediction."""
    began = time.perf_counter()
    formula = FORMULAS[number % len(FORMULAS)]
    client.post(path, json={"formulas": [formula]}).raise_for_status()
    return since(began)


def burst(path: str, first: int) -> list[float]:
    """Return the milliseconds of 20 predictions of one client."""
    with httpx.Client(timeout=60) as client:
        return [ask(client, path, first + number) for number in range(20)]


def since(began: float) -> float:
    """Return the milliseconds since a time."""
    return 1000 * (time.perf_counter() - began)


def show(what: str, times: list[float]) -> None:
    """Print percentiles."""
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    print(f"{what}: median {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f}, max {max(times):.1f} ms")


def processor_time(pid: int) -> float:
    """Return the processor time that a process has used, in seconds (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """Return the peak resident memory of a process in MiB (Linux)."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(text.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
