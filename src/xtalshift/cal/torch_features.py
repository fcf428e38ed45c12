"""The composition features as differentiable functions of the amounts of the elements."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from xtalshift.chem.charge_neutrality import neutral_rows
from xtalshift.chem.elements import MAGPIE_PROPERTIES, SYMBOLS, load_elements
from xtalshift.errors import ConfigError, FormulaError
from xtalshift.featurize import CompositionFeatures
from xtalshift.featurize.blocks import split_blocks
from xtalshift.featurize.magpie import UNKNOWN_CHARGE
from xtalshift.featurize.scale import FeatureScaler
from xtalshift.nn.padded_compositions import Slots

_BLOCKS = ("magpie", "fractions")
_POSSIBLE = "compound possible"
_VALENCE = MAGPIE_PROPERTIES.index("NsValence")  # followed by p, d and f


@dataclass(frozen=True)
class _Tables:
    """Elemental properties and scaling, on one device in one precision.

    Unknown properties are 0 in `magpie` and `characters`, and marked in `unknown`.
    """

    magpie: Tensor  # (119, 22)
    unknown: Tensor | None  # (119, 22) bool; None if nothing is unknown
    characters: Tensor  # (119, 119), ionic character of each pair
    unknown_character: Tensor  # (119,) bool
    kept: Tensor | None  # (d,) int64, columns that the scaler keeps
    mean: Tensor  # (d,)
    scale: Tensor  # (d,)


class TorchFeatures:
    """Features of `CompositionFeaturizer`, standardised like `FeatureScaler.transform`.

    The values equal those of both up to rounding, and are differentiable in ``slots.amounts``
    almost everywhere. Where a feature has a kink (equal properties in the mean deviation) or a step
    (the most frequent element), the gradient is that of one side, always finite. ``compound
    possible`` is 0 or 1 and has no gradient, so it is an argument.

    Parameters
    ----------
    featurizer : CompositionFeatures
        Its blocks of features and its treatment of unknown properties are used.
    scaler : FeatureScaler, optional
        A fitted one; without it the features are not standardised.

    Attributes
    ----------
    n_features : int
        Number of features ``d``.

    Raises
    ------
    ConfigError
        If a block of the featurizer is unknown, or has no differentiable twin here.
    """

    def __init__(
        self, featurizer: CompositionFeatures, scaler: FeatureScaler | None = None
    ) -> None:
        self.blocks = split_blocks(featurizer.blocks)
        for block in self.blocks:
            if block not in _BLOCKS:
                raise ConfigError(
                    f"features {featurizer.blocks!r}: the block {block!r} has no gradient, so "
                    f"compositions cannot be moved; use {' or '.join(_BLOCKS)}, or attack features"
                )
        names = np.array(featurizer.names)
        kept = np.arange(len(names)) if scaler is None else np.flatnonzero(scaler.kept_)
        self.featurizer = featurizer
        self.scaler = scaler
        self.n_features = len(kept)
        found = np.flatnonzero(names[kept] == _POSSIBLE)
        self._possible_column = int(found[0]) if len(found) else None
        self._tables: dict[tuple[torch.device, torch.dtype], _Tables] = {}

    def __call__(self, slots: Slots, possible: Tensor | None = None) -> Tensor:
        """Return the features.

        Parameters
        ----------
        slots : Slots
            n compositions, at least one element in each.
        possible : Tensor, shape (n,), optional
            ``compound possible``, 0 or 1; by default the method `possible` computes it, on the CPU.

        Returns
        -------
        Tensor, shape (n, d)

        Raises
        ------
        FormulaError
            As `possible`.
        """
        if possible is None:
            possible = self.possible(slots)
        return self.fix(slots, possible)(slots.amounts)

    def possible(self, slots: Slots) -> Tensor:
        """Return ``compound possible`` of compositions, shape (n,); 0 if it is not a feature.

        Raises
        ------
        FormulaError
            If it is too costly to decide, as in `CompositionFeaturizer`.
        """
        neutral, unknown = self.try_possible(slots)
        if unknown.any():
            raise FormulaError(f"row {int(unknown.nonzero()[0, 0]) + 1}: {UNKNOWN_CHARGE}")
        return neutral

    def try_possible(self, slots: Slots) -> tuple[Tensor, Tensor]:
        """Return ``compound possible`` and whether it could not be decided, both of shape (n,)."""
        if self._possible_column is None:
            zeros = torch.zeros_like(slots.amounts[:, 0])
            return zeros, zeros.bool()
        neutral, unknown = neutral_rows(slots.to_compositions())
        at = slots.amounts.device
        return torch.from_numpy(neutral).to(slots.amounts), torch.from_numpy(unknown).to(at)

    def read_possible(self, x: Tensor) -> Tensor:
        """Return ``compound possible``, shape (n,), from existing features, shape (n, d)."""
        if self._possible_column is None:
            return torch.zeros_like(x[:, 0])
        no, yes = 0.0, 1.0
        if self.scaler is not None:
            mean = float(self.scaler.mean_[self._possible_column])
            scale = float(self.scaler.scale_[self._possible_column])
            clip = float(self.scaler.clip)
            no, yes = (min(max((v - mean) / scale, -clip), clip) for v in (no, yes))
        column = x[:, self._possible_column]
        return ((column - yes).abs() < (column - no).abs()).to(x.dtype)

    def fix(self, slots: Slots, possible: Tensor) -> FixedElements:
        """Return the features as a function of the amounts alone (cheap to call many times).

        Parameters
        ----------
        slots : Slots
            n compositions; their amounts are not used.
        possible : Tensor, shape (n,)
            ``compound possible``, 0 or 1.
        """
        tables = self._load_tables(slots.amounts)
        elements = slots.elements
        present = elements > 0
        filled = present[:, :, None]
        properties = tables.magpie[elements]
        infinity = torch.full_like(properties[:1, :1], torch.inf)
        low = torch.where(filled, properties, infinity).amin(dim=1)
        high = torch.where(filled, properties, -infinity).amax(dim=1)
        pairs = tables.characters[elements[:, :, None], elements[:, None, :]]
        unknown = unknown_pair = None
        if tables.unknown is not None:
            unknown = tables.unknown[elements]
            several = present.sum(dim=1) > 1
            unknown_pair = tables.unknown_character[elements].any(dim=1) & several
        return FixedElements(
            blocks=self.blocks,
            clip=None if self.scaler is None else self.scaler.clip,
            tables=tables,
            elements=elements,
            present=present,
            properties=properties,
            unknown=unknown,
            low=low,
            high=high,
            pairs=pairs,
            unknown_pair=unknown_pair,
            possible=possible.to(slots.amounts),
        )

    def _load_tables(self, like: Tensor) -> _Tables:
        key = (like.device, like.dtype)
        if key not in self._tables:
            self._tables[key] = self._make_tables(like)
        return self._tables[key]

    def _make_tables(self, like: Tensor) -> _Tables:
        source = load_elements(impute_nan=bool(self.featurizer.impute_nan))
        magpie = source.magpie.copy()
        magpie[0] = 0.0  # an empty slot is not unknown
        x = source.electronegativity.copy()
        x[0] = 0.0
        characters = 1.0 - np.exp(-0.25 * np.subtract.outer(x, x) ** 2)
        characters[0] = characters[:, 0] = 0.0
        kept, mean, scale = None, np.zeros(1), np.ones(1)
        if self.scaler is not None:
            kept = torch.from_numpy(np.flatnonzero(self.scaler.kept_)).to(like.device)
            mean, scale = self.scaler.mean_, self.scaler.scale_
        unknown = torch.from_numpy(np.isnan(magpie)).to(like.device)
        return _Tables(
            magpie=torch.from_numpy(np.nan_to_num(magpie)).to(like),
            unknown=unknown if np.isnan(magpie).any() or np.isnan(x).any() else None,
            characters=torch.from_numpy(np.nan_to_num(characters)).to(like),
            unknown_character=torch.from_numpy(np.isnan(x)).to(like.device),
            kept=kept,
            mean=torch.from_numpy(mean).to(like),
            scale=torch.from_numpy(scale).to(like),
        )


@dataclass(frozen=True)
class FixedElements:
    """The features of rows whose elements are fixed; made by `TorchFeatures.fix`."""

    blocks: tuple[str, ...]
    """Blocks of features in order."""
    clip: float | None
    """Clipping limit of the scaler."""
    tables: _Tables
    """Element properties and scaling."""
    elements: Tensor
    present: Tensor
    """Shape (n, k). `elements`, `present`: atomic numbers, and whether a slot is filled."""
    properties: Tensor
    unknown: Tensor | None
    """Shape (n, k, 22). `properties`, `unknown`: elemental properties (0 where unknown), and which
    are unknown (None: none)."""
    low: Tensor
    high: Tensor
    """Shape (n, 22). `low`, `high`: smallest and largest property of each row."""
    pairs: Tensor
    """Shape (n, k, k). Ionic characters."""
    unknown_pair: Tensor | None
    """Shape (n,). Rows with an unknown ionic character."""
    possible: Tensor
    """Shape (n,). ``compound possible``."""

    def __call__(self, amounts: Tensor) -> Tensor:
        """Return the features, shape (n, d), for amounts of shape (n, k), 0 in empty slots."""
        fractions = amounts / amounts.sum(dim=1, keepdim=True)
        parts: list[Tensor] = []
        for block in self.blocks:
            if block == "fractions":
                by_element = fractions.new_zeros(len(fractions), len(SYMBOLS))
                parts.append(by_element.scatter(1, self.elements, fractions)[:, 1:])
            else:
                parts += self._magpie(amounts, fractions)
        values = torch.cat(parts, dim=1)
        if self.tables.kept is None:
            return values
        values = (values.index_select(1, self.tables.kept) - self.tables.mean) / self.tables.scale
        if self.unknown is not None:
            values = torch.where(values.isnan(), torch.zeros_like(values), values)
        return values.clamp(-self.clip, self.clip)  # type: ignore[operator]

    def take(self, row: Tensor) -> FixedElements:
        """Return the features of some rows, int64 of shape (m,)."""
        unknown = self.unknown is not None and self.unknown_pair is not None
        names = ["elements", "present", "properties", "low", "high", "pairs", "possible"]
        names += ["unknown", "unknown_pair"] if unknown else []
        return replace(self, **{name: getattr(self, name)[row] for name in names})

    def _magpie(self, amounts: Tensor, fractions: Tensor) -> list[Tensor]:
        """Return the columns of the block ``magpie``."""
        weights = fractions[:, :, None]
        mean = (weights * self.properties).sum(dim=1)
        deviation = (weights * (self.properties - mean[:, None, :]).abs()).sum(dim=1)
        low, high, mode = self.low, self.high, self._mode(amounts.detach())
        span = high - low
        character = 0.5 * ((self.pairs * fractions[:, None, :]).sum(dim=2) * fractions).sum(dim=1)
        largest = self.pairs.amax(dim=(1, 2))
        if self.unknown is not None and self.unknown_pair is not None:
            # where, not 0 * NaN: its gradient would be NaN as well
            nan = torch.full_like(mean, torch.nan)
            unknown = self.unknown.any(dim=1)
            low, high, span, mean, deviation = (
                torch.where(unknown, nan, part) for part in (low, high, span, mean, deviation)
            )
            largest = torch.where(self.unknown_pair, nan[:, 0], largest)
            character = torch.where(self.unknown_pair, nan[:, 0], character)
        statistics = torch.stack([low, high, span, mean, deviation, mode], dim=2)
        return [
            self._norms(fractions),
            statistics.flatten(start_dim=1),
            mean[:, _VALENCE : _VALENCE + 4],
            torch.stack([self.possible, largest, character], dim=1),
        ]

    def _norms(self, fractions: Tensor) -> Tensor:
        """Return ``(sum x^p)^(1/p)`` for each p (p = 0 counts the elements), shape (n, 6)."""
        square = fractions * fractions
        fifth = square * square * fractions
        powers = [square, square * fractions, fifth, fifth * square, fifth * fifth]
        roots = [
            power.sum(dim=1) ** (1.0 / p) for p, power in zip((2, 3, 5, 7, 10), powers, strict=True)
        ]
        return torch.stack([self.present.sum(dim=1).to(fractions), *roots], dim=1)

    def _mode(self, amounts: Tensor) -> Tensor:
        """Return the smallest property of the most frequent elements, shape (n, 22)."""
        most = amounts.amax(dim=1, keepdim=True)
        # the tolerance of numpy.isclose
        is_mode = ((amounts - most).abs() <= 1e-8 + 1e-5 * most) & self.present
        properties = self.properties
        if self.unknown is not None:
            properties = torch.where(self.unknown, torch.nan, properties)
        infinity = torch.full_like(properties[:1, :1], torch.inf)
        return torch.where(is_mode[:, :, None], properties, infinity).amin(dim=1)
