"""Which score finds new materials: elements and clusters held out, on four tables.

    XTALSHIFT_DATA=folder python benchmarks/ood_score.py --out runs/ood-score

Every group (all formulas with an element, or a cluster of formulas) is held out in turn. Of the
other formulas 70 % are training materials, 15 % calibrate, 15 % are test rows (ID). Each score is
judged by how often a row of the group scores higher than a test row (AUROC). No score knows which
elements are unseen; those with "fractions" see them in the distance. The error is that of a bagged
LightGBM ensemble. Writes ood-score.json and ood-score.md; `--speed` measures the neighbour search
instead. The elements on which the default score was chosen are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from xtalshift.chem.elements import ATOMIC_NUMBERS, SYMBOLS
from xtalshift.data.settings import DataConfig
from xtalshift.domain.neighbour_index import NeighbourIndex
from xtalshift.domain.ood_score import Novelty
from xtalshift.featurize.scale import FeatureScaler
from xtalshift.model.inputs import read_inputs
from xtalshift.splits.feature_space import cluster_points, locate_formulas
from xtalshift.splits.splitter import Rows

TABLES = {
    "mp_gap": "mp_gap.parquet",
    "shear modulus": "aflow__ael_shear_modulus_vrh.parquet",
    "expt_gap": "expt_gap.parquet",
    "ricci_seebeck": "ricci_seebeck",
}
CHOSEN_ON = ("K", "Ca", "Zn", "Br", "Ge", "Co", "Sb", "Nd", "P", "B", "Ag", "Pb")
"""Elements held out while the default score was chosen."""

DEFAULT = "default: larger rank of the next two"
WITH_ERROR = (DEFAULT, "relative distance, k = 5", "rarity", "kNN, k = 1", "ensemble disagreement")
_MIN_GROUP = 50
_MAX_TESTED = 1500

Scores = dict[str, np.ndarray]


def main() -> None:
    """Run what is asked for and write JSON and Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tables", default=",".join(TABLES), help="comma-separated")
    parser.add_argument("--rows", type=int, default=6000, help="formulas drawn from each table")
    parser.add_argument("--elements", type=int, default=16, help="at most so many; 0: all")
    parser.add_argument("--clusters", type=int, default=10)
    parser.add_argument("--no-errors", action="store_true", help="train no ensemble: faster")
    parser.add_argument("--networks", type=int, default=0, help="groups with an IRNet embedding")
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.speed:
        found: Any = [line for size in (5_000, 25_000) for line in _speed(size)]
        text = _markdown_speed(found)
    else:
        found = [r for name in options.tables.split(",") for r in _table(name, options)]
        text = _markdown(found)
    name = "ood-speed" if options.speed else "ood-score"
    (options.out / f"{name}.json").write_text(json.dumps(found, indent=1))
    (options.out / f"{name}.md").write_text(text)
    print(text)


def _load(name: str, n_rows: int) -> tuple[np.ndarray, ...]:
    folder = Path(os.environ.get("XTALSHIFT_DATA", ".")) / "composition"
    place = TABLES[name]
    dataset = str(folder / place) if place.endswith(".parquet") else place
    inputs = read_inputs(DataConfig(dataset=dataset))
    rows = np.sort(np.random.default_rng(0).permutation(len(inputs.data))[:n_rows])
    data = inputs.data.take(rows)
    fractions = data.materials.compositions.element_fractions()
    return inputs.X[rows], data.y, data.groups.astype(str), fractions


def _groups(
    X: np.ndarray, formulas: np.ndarray, fractions: np.ndarray, options: argparse.Namespace
) -> Iterator[tuple[str, str, np.ndarray]]:
    counts = (fractions > 0).sum(axis=0)
    counts[[ATOMIC_NUMBERS[symbol] - 1 for symbol in CHOSEN_ON]] = 0
    usable = np.argsort(-counts, kind="stable")
    usable = usable[(counts[usable] >= _MIN_GROUP) & (counts[usable] <= 0.6 * len(X))]
    if options.elements:
        places = np.linspace(0, len(usable) - 1, min(options.elements, len(usable)))
        usable = usable[places.round().astype(int)]
    for element in usable.tolist():
        yield "element", SYMBOLS[element + 1], fractions[:, element] > 0
    rows = Rows.of(X, None, formulas)
    codes = cluster_points(locate_formulas(rows, 10), options.clusters)[rows.numbers]
    for cluster in range(options.clusters):
        if np.count_nonzero(codes == cluster) >= _MIN_GROUP:
            yield "LOCO", f"cluster {cluster}", codes == cluster


def _table(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    X, y, formulas, fractions = _load(name, options.rows)
    records, networks = [], {"element": 0, "LOCO": 0}
    for scheme, group, inside in _groups(X, formulas, fractions, options):
        start = time.perf_counter()
        rng = np.random.default_rng(0)
        rest = rng.permutation(np.flatnonzero(~inside))
        part = round(0.15 * len(rest))
        tested, calibrating, known = rest[:part], rest[part : 2 * part], rest[2 * part :]
        tested = tested[:_MAX_TESTED]
        far = rng.permutation(np.flatnonzero(inside))[:_MAX_TESTED]
        asked = np.concatenate([tested, far])
        scores = _scores(X, fractions, known, calibrating, asked)
        error = None
        if not options.no_errors:
            members = _bagged(X[known], y[known], X[asked])
            scores["ensemble disagreement"] = members.std(axis=0)
            error = np.abs(members.mean(axis=0) - y[asked])
        if networks[scheme] < options.networks:
            networks[scheme] += 1
            scores["embedding, k = 5"] = _embedded(X, y, known, asked)
        m = len(tested)
        records.append(
            {
                "table": name,
                "scheme": scheme,
                "group": group,
                "n_train": len(known),
                "n_id": m,
                "n_ood": len(far),
                "auroc": {
                    key: roc_auc_score(np.arange(len(values)) >= m, values)
                    for key, values in scores.items()
                },
                "found_at_90": float((scores[DEFAULT][m:] > 0.9).mean()),
                "false_at_90": float((scores[DEFAULT][:m] > 0.9).mean()),
                "seconds": time.perf_counter() - start,
            }
        )
        if error is not None:
            records[-1] |= _with_error({key: scores[key] for key in WITH_ERROR}, error, m)
        print(name, scheme, group, f"{records[-1]['seconds']:.1f} s", file=sys.stderr, flush=True)
    return records


def _scores(
    X: np.ndarray,
    fractions: np.ndarray,
    known: np.ndarray,
    calibrating: np.ndarray,
    asked: np.ndarray,
) -> Scores:
    """Return every candidate for the rows asked for; larger is farther."""
    novelty = Novelty.fit(X[known], X[calibrating])
    found = novelty.assess(X[asked])
    scaler = novelty.reference.scaler
    R, Q = (scaler.transform(X[rows]).astype(np.float32) for rows in (known, asked))
    joined = np.hstack([X, fractions])
    both = Novelty.fit(joined[known], joined[calibrating]).assess(joined[asked])
    scores = {
        DEFAULT: found.score,
        "relative distance, k = 5": found.distance_rank,
        "rarity": found.rarity_rank,
        "default, fractions of seen elements added": both.score,
    }
    near = _nearest(R, Q, 10)
    for k in (1, 5, 10):
        scores[f"kNN, k = {k}"] = near[:, :k].mean(axis=1)
    spread = 2 * float(np.median(near[:, :5].mean(axis=1)))
    scores["kernel density, 10 neighbours"] = (
        -np.log(np.exp(-((near**2 - near[:, :1] ** 2) / spread**2)).sum(axis=1))
        + (near[:, 0] / spread) ** 2
    )
    values, axes = np.linalg.eigh(np.cov(R.T))
    centred = R.mean(axis=0)
    for name, ridge, kept in (("16 whitened components", 0.0, 16), ("all, whitened", 0.01, None)):
        chosen = np.argsort(-values)[:kept]
        turn = (axes[:, chosen] / np.sqrt(values[chosen] + ridge)).astype(np.float32)
        r, q = (R - centred) @ turn, (Q - centred) @ turn
        scores[f"kNN, k = 1, {name}"] = _nearest(r, q, 1)[:, 0]
    scores["leverage (ridge 0.01)"] = np.linalg.norm(q, axis=1)
    parts = [10 * fractions[rows].astype(np.float32) for rows in (known, asked)]
    scores["kNN, k = 1, features and fractions"] = _nearest(
        np.hstack([R, parts[0]]), np.hstack([Q, parts[1]]), 1
    )[:, 0]
    scores["kNN, k = 1, fractions"] = _nearest(parts[0], parts[1], 1)[:, 0]
    return scores


def _nearest(R: np.ndarray, Q: np.ndarray, k: int) -> np.ndarray:
    """Return exact Euclidean distances of the k nearest, ascending, shape (n, k)."""
    index = NeighbourIndex(R, np.arange(len(R)), R[:1], np.array([0, len(R)]))
    return index.query(np.ascontiguousarray(Q), k)[0].astype(np.float64)


def _bagged(X: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the predictions of 4 members on bootstrap samples, shape (4, n)."""
    from lightgbm import LGBMRegressor

    rng = np.random.default_rng(0)
    members = []
    for _ in range(4):
        rows = rng.integers(0, len(X), len(X))
        model = LGBMRegressor(n_estimators=60, max_bin=63, n_jobs=1, verbose=-1, random_state=0)
        booster = model.fit(X[rows], y[rows]).booster_
        members.append(booster.predict(asked, num_threads=1))
    return np.stack(members)


def _embedded(X: np.ndarray, y: np.ndarray, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the mean distance to 5 neighbours in the last hidden layer of a network."""
    from xtalshift.estimators import IRNetRegressor

    model = IRNetRegressor(epochs=30, random_state=0).fit(X[known], y[known])
    scaler = FeatureScaler().fit(model.embed(X[known]))
    R, Q = (scaler.transform(model.embed(X[rows])).astype(np.float32) for rows in (known, asked))
    return _nearest(R, Q, 5).mean(axis=1)


def _with_error(scores: Scores, error: np.ndarray, m: int) -> dict[str, Any]:
    """Return rank correlations with the error, with what 200 resamplings of rows give."""
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(error), len(error)) for _ in range(200)]
    flagged = scores[DEFAULT] > 0.9
    return {
        "spearman": {key: _spearman(values, error) for key, values in scores.items()},
        "resampled": {
            key: [_spearman(values[d], error[d]) for d in draws] for key, values in scores.items()
        },
        "error_id": float(error[:m].mean()),
        "error_ood": float(error[m:].mean()),
        "error_in_domain": float(error[~flagged].mean()),
        "error_flagged": float(error[flagged].mean()),
    }


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def _markdown(records: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys((r["table"], r["scheme"]) for r in records))
    chosen = {c: [r for r in records if (r["table"], r["scheme"]) == c] for c in columns}
    head = " | ".join(f"{t}, {s} ({len(chosen[t, s])})" for t, s in columns)
    lines = [f"| AUROC, mean / worst | {head} |", "|---|" + "---|" * len(columns)]
    for key in dict.fromkeys(key for r in records for key in r["auroc"]):
        cells = []
        for column in columns:
            values = [r["auroc"][key] for r in chosen[column] if key in r["auroc"]]
            cells.append(f"{np.mean(values):.2f} / {min(values):.2f}" if values else "")
        lines.append(f"| {key} | {' | '.join(cells)} |")
    for key, label in (("found_at_90", "found"), ("false_at_90", "false alarms")):
        cells = [f"{100 * np.mean([r[key] for r in chosen[c]]):.0f} %" for c in columns]
        lines.append(f"| default above 0.9: {label} | {' | '.join(cells)} |")
    worst = "; ".join(
        f"{t}, {s}: "
        + ", ".join(
            f"{r['group']} {r['auroc'][DEFAULT]:.2f}"
            for r in sorted(chosen[t, s], key=lambda r: r["auroc"][DEFAULT])[:5]
        )
        for t, s in columns
    )
    lines += ["", f"Worst groups of the default. {worst}", ""]
    if all("spearman" in r for r in records):
        lines += [f"| rank correlation with the error | {head} |", "|---|" + "---|" * len(columns)]
        for key in WITH_ERROR:
            cells = []
            for c in columns:
                mean = np.mean([r["spearman"][key] for r in chosen[c]])
                # groups are drawn anew, and rows within each
                drawn = np.array([r["resampled"][key] for r in chosen[c]])
                groups = np.random.default_rng(0).integers(0, len(drawn), drawn.shape)
                spread = np.take_along_axis(drawn, groups, axis=0).mean(axis=0)
                low, high = np.quantile(spread, [0.025, 0.975])
                cells.append(f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]")
            lines.append(f"| {key} | {' | '.join(cells)} |")
        for label, top, bottom in (
            ("error of the group / of ID rows", "error_ood", "error_id"),
            ("error above 0.9 / below", "error_flagged", "error_in_domain"),
        ):
            ratios = [np.mean([r[top] / r[bottom] for r in chosen[c]]) for c in columns]
            lines.append(f"| {label} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")
    return "\n".join(lines) + "\n"


def _speed(n: int) -> list[dict[str, Any]]:
    """Measure CPU time of searches among n formulas of mp_gap, 8192 queries at once."""
    from sklearn.neighbors import NearestNeighbors

    X, *_, fractions = _load("mp_gap", n + 3000 + 8192)
    order = np.random.default_rng(0).permutation(len(X))
    known, held, asked = order[:n], order[n : n + 3000], order[n + 3000 :]
    novelty = Novelty.fit(X[known], X[held])
    reference = novelty.reference
    R, Q = (reference.scaler.transform(X[rows]).astype(np.float32) for rows in (known, asked))
    truth = _nearest(R, Q, 1)[:, 0]
    exact = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(R)
    start = time.process_time()
    exact.kneighbors(Q)
    lines = [_line("exact, scikit-learn, k = 5", n, start, len(Q), 1.0)]
    axes = np.linalg.eigh(np.cov(R.T))[1][:, ::-1].astype(np.float32)
    for width in (16, 32, 64):
        r, q = R @ axes[:, :width], Q @ axes[:, :width]
        search = NearestNeighbors(n_neighbors=10, algorithm="brute").fit(r)
        start = time.process_time()
        near = search.kneighbors(q, return_distance=False)
        gaps = np.stack([np.linalg.norm(Q - R[column], axis=1) for column in near.T])
        recall = float((gaps.min(axis=0) <= truth + 1e-4).mean())
        lines.append(_line(f"{width} components, 10 re-ranked", n, start, len(Q), recall))
    for k in (1, 5):
        start = time.process_time()
        distances, _ = reference.index.query(Q, k)
        recall = float((distances[:, 0] <= truth + 1e-4).mean())
        lines.append(_line(f"cells (default), k = {k}", n, start, len(Q), recall))
    oxygen = fractions[:, ATOMIC_NUMBERS["O"] - 1] > 0
    without = NeighbourIndex.build(R[~oxygen[known]])
    far = Q[oxygen[asked]]
    truth = _nearest(R[~oxygen[known]], far, 1)[:, 0]
    start = time.process_time()
    recall = float((without.query(far, 5)[0][:, 0] <= truth + 1e-4).mean())
    lines.append(_line("cells, k = 5, oxides among the others", n, start, len(far), recall))
    start = time.process_time()
    novelty.assess(X[asked])
    lines.append(_line("whole score", n, start, len(Q), None))
    return lines


def _line(name: str, n: int, start: float, m: int, recall: float | None) -> dict[str, Any]:
    microseconds = 1e6 * (time.process_time() - start) / m
    return {"search": name, "n": n, "microseconds": microseconds, "recall": recall}


def _markdown_speed(lines: list[dict[str, Any]]) -> str:
    rows = [
        f"| {line['search']} | {line['n']:,} | {line['microseconds']:.0f} | "
        + (f"{line['recall']:.4f} |" if line["recall"] is not None else "|")
        for line in lines
    ]
    return (
        "\n".join(["| search | n | CPU us per query | recall@1 |", "|---|---|---|---|", *rows])
        + "\n"
    )


if __name__ == "__main__":
    main()
