"""What all tasks share, prepared once: data sets with features, and the folds."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from xtalshift.benchmark.records import Plain, Role
from xtalshift.data import Dataset
from xtalshift.data.settings import DataConfig
from xtalshift.errors import DataError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.composition import Blocks

__all__ = ["JOINT", "FoldRows", "Problem", "Shared", "TestRows"]

Rows = NDArray[np.int64]
FloatArray = NDArray[np.float64]

JOINT = "all"
"""Name of the split of a fold whose one training serves every split."""


@dataclass(frozen=True, eq=False)
class Problem:
    """One table; its features may be read-only and shared with other processes.

    Attributes
    ----------
    name : str
        In the specification.
    data : Dataset
        n clean rows.
    settings : DataConfig
        How features and targets are made.
    X : dict of ndarray of float64, shape (n, d)
        Features by their name; the extra feature columns are the last ones.
    tails : (float, float)
        Targets beyond which the 5 % lowest and highest lie.
    """

    name: str
    data: Dataset
    settings: DataConfig
    X: Mapping[Blocks, FloatArray]
    tails: tuple[float, float]

    @cached_property
    def formula_numbers(self) -> Rows:
        """Number of the reduced formula of each row, shape (n,)."""
        return np.unique(self.data.groups.astype(str), return_inverse=True)[1].astype(np.int64)

    def featurizer(self, features: Blocks) -> CompositionFeaturizer:
        """Return what computes some of the features."""
        return CompositionFeaturizer(features, self.settings.impute_nan, self.settings.hydrates)

    def describe(self) -> Plain:
        """Return what the table is, for the summary."""
        settings, intake = self.settings, self.data.intake
        assert intake is not None
        return {
            "name": self.name,
            **self.data.description,
            "transform": settings.transform,
            "impute_nan": settings.impute_nan,
            "hydrates": settings.hydrates,
            "feature_cols": list(settings.feature_cols),
            "split_features": settings.features,
            "tails": {"low": self.tails[0], "high": self.tails[1]},
            "cleaning": {k: v for k, v in intake.to_dict().items() if k.startswith("rows_")},
        }


@dataclass(frozen=True, eq=False)
class TestRows:
    """Rows that a trained method is evaluated on."""

    split: str
    role: Role
    rows: Rows


@dataclass(frozen=True, eq=False)
class FoldRows:
    """The rows of one fold for one seed.

    Attributes
    ----------
    data, split : str
        Names in the specification; the split is ``all`` where one training serves every split.
    fold, seed : int
        Number of the fold; seed of all that is drawn.
    name : str
        What is held out.
    tail : {"high", "low"}
        Where extreme targets are sought.
    budgets : tuple of int
        Numbers of target labels that the fold has rows for.
    train, val, target : ndarray of int64
        Row numbers; `target` in the order of the budgets.
    tests : tuple of TestRows
        At least one.
    """

    data: str
    split: str
    fold: int
    seed: int
    name: str
    tail: Literal["high", "low"]
    budgets: tuple[int, ...]
    train: Rows = field(repr=False)
    val: Rows = field(repr=False)
    target: Rows = field(repr=False)
    tests: tuple[TestRows, ...] = field(repr=False)

    @property
    def key(self) -> str:
        """What distinguishes it from the other folds of a benchmark."""
        return f"{self.data}/{self.split}/{self.fold}/{self.seed}"

    @property
    def id_rows(self) -> Rows:
        """The ID test rows, which are those of every split of the fold."""
        return next((test.rows for test in self.tests if test.role == "id"), self.train[:0])

    @cached_property
    def test_rows(self) -> Rows:
        """The held-out rows of all splits, each once; the ID test rows where there are no other."""
        outside = [test.rows for test in self.tests if test.role == "ood"]
        return np.unique(np.concatenate(outside)) if outside else self.id_rows

    def sha256(self) -> str:
        """Return the hash of all rows."""
        digest = hashlib.sha256()
        named = [("train", self.train), ("val", self.val), ("target", self.target)]
        named += [(f"{test.split} {test.role}", test.rows) for test in self.tests]
        for name, rows in named:
            digest.update(f"{name} {len(rows)} ".encode())
            digest.update(np.ascontiguousarray(rows, dtype="<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Shared:
    """All tables and folds of a benchmark.

    Attributes
    ----------
    problems : dict of Problem
        By name.
    folds : dict of FoldRows
        By `FoldRows.key`.
    plugins : dict of str
        Source of each plugin, by file name.
    """

    problems: dict[str, Problem]
    folds: dict[str, FoldRows]
    plugins: dict[str, str]

    def save(self, folder: Path) -> None:
        """Write everything such that `load` maps the arrays instead of reading them."""
        folder.mkdir(parents=True, exist_ok=True)
        buffers: list[pickle.PickleBuffer] = []
        content = pickle.dumps(self, protocol=5, buffer_callback=buffers.append)
        (folder / "shared.pickle").write_bytes(content)
        for number, buffer in enumerate(buffers):
            np.save(folder / f"{number}.npy", np.frombuffer(buffer.raw(), dtype=np.uint8))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return what `save` wrote; arrays are read-only and lie once in memory per machine.

        Raises
        ------
        DataError
            If a file is missing.
        """
        try:
            content = (folder / "shared.pickle").read_bytes()
            buffers: list[Any] = [
                np.load(folder / f"{number}.npy", mmap_mode="r")
                for number in range(len(list(folder.glob("*.npy"))))
            ]
            # written a moment ago by the process that waits for this one
            shared = pickle.loads(content, buffers=buffers)  # noqa: S301
        except OSError as error:
            raise DataError(f"cannot read the prepared rows: {error}") from error
        assert isinstance(shared, cls)
        return shared
