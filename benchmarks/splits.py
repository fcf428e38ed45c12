"""Every split scheme on one table: seconds, peak memory, and what the audit says of it.

    python benchmarks/splits.py mp_e_form.parquet --out runs/splits-mp

Each scheme is split and audited by the command line in a process of its own, one after the other.
A scheme that is done stays done, so the same command goes on after an interruption. Seconds
are those of the whole process; the first line is the floor, reading and featurizing the table.
Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

SCHEMES: dict[str, list[str]] = {
    "random": ["--scheme", "random"],
    "random, near twins (2 %) left out": ["--scheme", "random", "--min-distance", "0.02"],
    "random, thinned (2 %)": ["--scheme", "random", "--thin", "0.02"],
    "kfold": ["--scheme", "kfold"],
    "stratified": ["--scheme", "stratified"],
    "redundancy (2 %)": ["--scheme", "redundancy"],
    "grouped by chemical system": ["--scheme", "grouped"],
    "family F": ["--scheme", "family"],
    "family: F and rare earth": ["--scheme", "family", "-p", "contains=F and rare_earth"],
    "leave out element": ["--scheme", "leave-out"],
    "leave out period": ["--scheme", "leave-out", "-p", "by=period"],
    "leave out group": ["--scheme", "leave-out", "-p", "by=group"],
    "leave out block": ["--scheme", "leave-out", "-p", "by=block"],
    "leave out chemical system": ["--scheme", "leave-out", "-p", "by=chemsys"],
    "leave out anonymous formula": ["--scheme", "leave-out", "-p", "by=anonymous"],
    "leave out number of elements": ["--scheme", "leave-out", "-p", "by=n_elements"],
    "leave out family": ["--scheme", "leave-out", "-p", "by=family"],
    "LOCO, 10 k-means clusters": ["--scheme", "loco"],
    "SparseX single": ["--scheme", "sparse-x", "-p", "size=single"],
    "SparseX cluster": ["--scheme", "sparse-x"],
    "SparseY single": ["--scheme", "sparse-y", "-p", "size=single"],
    "SparseY cluster": ["--scheme", "sparse-y"],
    "covariate (density, PCA)": ["--scheme", "covariate"],
    "covariate (density, UMAP)": [
        *("--scheme", "covariate", "-p", "embedding=umap", "-p", "n_components=2"),
    ],
    "farthest-point region": ["--scheme", "farthest"],
    "propensity": ["--scheme", "propensity", "-p", "candidates={candidates}"],
    "prior, high tail": ["--scheme", "prior"],
    "prior, low tail": ["--scheme", "prior", "-p", "tail=low"],
    "prior, both tails": ["--scheme", "prior", "-p", "tail=both"],
    "prior, high tail of each family": ["--scheme", "prior", "-p", "within=family"],
    "MatEx roles": ["--scheme", "matex"],
    "relation, declared": ["--scheme", "relation", "-p", "formulas={relation}"],
    "relation, found": ["--scheme", "relation-found"],
}
"""Name in the table -> arguments of ``xtalshift split``."""

_FOLDS = {"leave-out": "max_folds", "sparse-x": "n_folds", "sparse-y": "n_folds"}

_HEADER = (
    "scheme", "folds", "test rows", "labels (folds)", "AUC", "distance", "W1/sd", "constant",
    "split s", "x floor", "GiB", "audit s",
)  # fmt: skip


def main() -> None:
    """Run all schemes that are not done and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table")
    parser.add_argument("--target")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--candidates", default="", help="formulas for the propensity split")
    parser.add_argument("--relation", default="", help="formulas of a declared relation shift")
    parser.add_argument("--only", help="schemes whose name contains this text")
    parser.add_argument("--no-audit", action="store_true")
    parser.add_argument("--folds", type=int, help="of schemes that have 50 by default")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    floor = _once(options.out / "floor.json", lambda: _floor(options))
    lines = [f"| {' | '.join(_HEADER)} |", f"|{'---|' * len(_HEADER)}"]
    for name, template in SCHEMES.items():
        if options.only and options.only not in name:
            continue
        arguments = [
            text.format(candidates=options.candidates, relation=options.relation)
            for text in template
        ]
        if options.folds and arguments[1] in _FOLDS:
            arguments += ["-p", f"{_FOLDS[arguments[1]]}={options.folds}"]
        if any(text.endswith("=") for text in arguments):
            continue  # needs a file that was not given
        place = options.out / f"{''.join(c if c.isalnum() else '-' for c in name)}.json"
        found = _once(place, lambda arguments=arguments: _measure(arguments, options))
        lines.append(_row(name, found, floor["seconds"]))
        print(lines[-1], file=sys.stderr, flush=True)
    print(f"floor (read and featurize): {floor['seconds']:.1f} s, {floor['gib']:.2f} GiB\n")
    print("\n".join(lines))


def _once(place: Path, measure: Any) -> dict[str, Any]:
    if not place.exists():
        place.write_text(json.dumps(measure()))
    return json.loads(place.read_text())


def _floor(options: argparse.Namespace) -> dict[str, Any]:
    code = (
        "import sys; from xtalshift.data.readers import read_configured;"
        "from xtalshift.jobs.split import prepare_rows;"
        "from xtalshift.data.settings import DataConfig;"
        "data = DataConfig(dataset=sys.argv[1], target=sys.argv[2] or None);"
        "prepare_rows(read_configured(data, need_target=False), data, {'X'})"
    )
    command = [sys.executable, "-c", code, options.table, options.target or ""]
    return _run(command)


def _measure(arguments: list[str], options: argparse.Namespace) -> dict[str, Any]:
    binary = str(Path(sys.executable).with_name("xtalshift"))
    target = ["--target", options.target] if options.target else []
    split = options.out / "split.parquet"
    found = _run([binary, "split", options.table, *arguments, *target, "-o", str(split)])
    if found["error"] or options.no_audit:
        return found
    folder = options.out / "audit"
    audited = _run([binary, "audit", options.table, str(split), *target, "-o", str(folder)])
    if not audited["error"]:
        (found["audit"],) = json.loads((folder / "audit.json").read_text())["splits"]
    return found | {"audit_seconds": audited["seconds"], "audit_error": audited["error"]}


def _run(command: list[str]) -> dict[str, Any]:
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        error = process.stderr.read() if process.stderr else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "seconds": time.perf_counter() - started,
        "gib": usage.ru_maxrss / 2**20,
        "error": error.strip().splitlines()[-1] if process.returncode else "",
    }


def _row(name: str, found: dict[str, Any], floor: float) -> str:
    if found["error"]:
        cells = [name, "", "", found["error"], "", "", "", ""]
    elif "audit" not in found:
        cells = [name, "", "", found.get("audit_error", ""), "", "", "", ""]
    else:
        folds = found["audit"]["folds"]
        sizes = [fold["n_test"] for fold in folds]
        spread = f"{min(sizes):,}" if len(sizes) == 1 else f"{min(sizes):,} to {max(sizes):,}"
        labels = ", ".join(
            label if len(folds) == 1 else f"{label} {count}"
            for label, count in found["audit"]["labels"].items()
        )
        figures = [
            _median(folds, key)
            for key in ("auc", "distance_ratio", "wasserstein", "dummy_over_random")
        ]
        cells = [name, str(len(folds)), spread, labels, *figures]
    cells += [f"{found['seconds']:.0f}", f"{found['seconds'] / floor:.1f}", f"{found['gib']:.1f}"]
    cells.append(f"{found['audit_seconds']:.0f}" if "audit_seconds" in found else "")
    return f"| {' | '.join(cells)} |"


def _median(folds: list[dict[str, Any]], key: str) -> str:
    values = [fold[key] for fold in folds if fold[key] is not None]
    return f"{median(values):.2f}" if values else "-"


if __name__ == "__main__":
    main()
