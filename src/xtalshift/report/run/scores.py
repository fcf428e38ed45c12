"""Records of single runs to means, spreads and ratios: every number of the headline table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = ["DUMMY", "Record", "Scores", "finite", "mean_sd"]

DUMMY = "dummy"

Record = dict[str, Any]


def finite(value: Any) -> float | None:
    """Return a finite float, or None for anything else (missing, NaN, infinite, text)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def mean_sd(values: Iterable[float | None]) -> tuple[float | None, float | None]:
    """Return the mean and the sample standard deviation of the values that are not None.

    Returns
    -------
    mean : float or None
        None where there is no value.
    sd : float or None
        With n - 1 in the denominator; None below two values (one run has no spread).
    """
    known = [value for value in values if value is not None]
    if not known:
        return None, None
    return statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None


class Scores:
    """The records of one benchmark, asked by method, split and role.

    Parameters
    ----------
    records : sequence of dict
        ``method``, ``split``, ``role``, ``seed``, ``status`` and the metrics, one per run and role.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records
        self._groups: dict[tuple[str, str, str], list[Record]] = {}
        for record in records:
            key = (record["method"], record["split"], record["role"])
            self._groups.setdefault(key, []).append(record)

    def methods(self, *, variants: bool = False) -> list[str]:
        """Return the methods in order of appearance, the dummy first.

        Parameters
        ----------
        variants : bool
            Also those with a colon: other weights of a training that is in the table already.
        """
        names = dict.fromkeys(record["method"] for record in self._records)
        shown = [name for name in names if variants or ":" not in name]
        return sorted(shown, key=lambda name: name != DUMMY)

    def runs(self, method: str, split: str, role: str) -> list[Record]:
        """Return the finished runs of one cell."""
        group = self._groups.get((method, split, role), [])
        return [run for run in group if run.get("status", "ok") == "ok"]

    def by_seed(self, method: str, split: str, role: str) -> dict[int, float]:
        """Return the finite mean absolute errors of one cell by seed."""
        runs = self.runs(method, split, role)
        errors = {run["seed"]: finite(run.get("mae")) for run in runs}
        return {seed: error for seed, error in errors.items() if error is not None}

    def cell(self, method: str, split: str, role: str) -> dict[str, Any] | None:
        """Summarise one method on one part of a split over its seeds.

        Returns
        -------
        dict or None
            ``mae``, ``rmse``, ``r2``, ``over_dummy``, ``seconds`` as means with ``mae_sd`` and
            ``over_dummy_sd``; ``seeds`` and ``failed`` as counts; ``id_mae`` and ``ratio_id`` (mean
            OOD error over mean ID error of the same split; None for the role ``id``);
            ``worse_than_dummy``. None where the method was not run.
        """
        group = self._groups.get((method, split, role), [])
        if not group:
            return None
        runs = self.runs(method, split, role)
        mae, mae_sd = mean_sd(finite(run.get("mae")) for run in runs)
        over, over_sd = mean_sd(finite(run.get("mae_over_dummy")) for run in runs)
        id_mae = None
        if role == "ood":
            id_mae, _ = mean_sd(self.by_seed(method, split, "id").values())
        return {
            "method": method,
            "split": split,
            "role": role,
            "mae": mae,
            "mae_sd": mae_sd,
            "rmse": mean_sd(finite(run.get("rmse")) for run in runs)[0],
            "r2": mean_sd(finite(run.get("r2")) for run in runs)[0],
            "over_dummy": over,
            "over_dummy_sd": over_sd,
            "seconds": mean_sd(finite(run.get("seconds")) for run in runs)[0],
            "seeds": len(self.by_seed(method, split, role)),
            "failed": len(group) - len(runs),
            "id_mae": id_mae,
            "ratio_id": mae / id_mae if mae is not None and id_mae else None,
            "worse_than_dummy": method != DUMMY and over is not None and over >= 1.0,
        }

    def ranking(self, split: str, role: str) -> list[str]:
        """Return the base methods but the dummy, smallest mean error first.

        Methods that finished fewer seeds than the others come last: a mean over other seeds is not
        comparable.
        """
        seeds = {
            name: len(self.by_seed(name, split, role)) for name in self.methods() if name != DUMMY
        }
        most = max(seeds.values(), default=0)
        mean: Callable[[str], float] = lambda name: statistics.fmean(  # noqa: E731
            self.by_seed(name, split, role).values()
        )
        known = [name for name, count in seeds.items() if count]
        return sorted(known, key=lambda name: (seeds[name] < most, mean(name)))

    def paired(self, first: str, second: str, split: str, role: str) -> dict[str, Any] | None:
        """Compare two methods on the seeds that both finished.

        Returns
        -------
        dict or None
            ``change``: mean error of `first` over that of `second`, minus 1 (negative: `first` is
            better); ``wins`` of `first`; ``seeds``. None without a common seed.
        """
        one, two = self.by_seed(first, split, role), self.by_seed(second, split, role)
        common = sorted(set(one) & set(two))
        reference = sum(two[seed] for seed in common)
        if not reference:
            return None
        return {
            "first": first,
            "second": second,
            "split": split,
            "role": role,
            "change": sum(one[seed] for seed in common) / reference - 1.0,
            "wins": sum(one[seed] < two[seed] for seed in common),
            "seeds": len(common),
        }

    def leads_every_seed(self, method: str, split: str, role: str) -> bool:
        """Return whether a method has the smallest error of all base methods on every seed."""
        own = self.by_seed(method, split, role)
        rivals = [self.by_seed(name, split, role) for name in self.methods() if name != method]
        return all(
            seed in own and own[seed] < error for rival in rivals for seed, error in rival.items()
        )

    def failures(self) -> list[dict[str, Any]]:
        """Return each failure with ``method, seed, reason`` and the ``splits`` that lack it."""
        splits: dict[tuple[str, int, str], list[str]] = {}
        for record in self._records:
            if record.get("status", "ok") != "ok":
                key = (record["method"], record["seed"], record.get("reason") or "not stated")
                splits.setdefault(key, []).append(record["split"])
        return [
            {"method": method, "seed": seed, "reason": reason, "splits": list(dict.fromkeys(names))}
            for (method, seed, reason), names in splits.items()
        ]
