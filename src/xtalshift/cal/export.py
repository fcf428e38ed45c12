"""Adversarial compositions and crystals as readable tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.cal.deformation import AXES, COMPONENTS, measure_moves
from xtalshift.chem import Compositions, parse_formulas
from xtalshift.chem.elements import SYMBOLS, load_elements
from xtalshift.errors import DataError
from xtalshift.nn.padded_compositions import Slots
from xtalshift.structure import Structures

_DECIMALS = 4


def adversarial_frame(
    start: Compositions,
    adversarial: Slots,
    *,
    target: ArrayLike,
    prediction: ArrayLike,
    adversarial_prediction: ArrayLike,
    displacement_rms: ArrayLike,
    formulas: Sequence[str] | None = None,
) -> dict[str, NDArray[Any]]:
    """Return a table of n adversarial rows next to the rows that they came from.

    Parameters
    ----------
    start : Compositions
        The rows before the attack.
    adversarial : Slots
        The rows after the attack, with elements in the same slots.
    target, prediction, adversarial_prediction : array_like of float, shape (n,)
        In the unit of the target.
    displacement_rms : array_like of float, shape (n,)
        Root mean square of ``x_adv - x`` over the features, in standard deviations.
    formulas : sequence of str, length n, optional
        Formulas of `start`; by default they are written like the adversarial ones.

    Returns
    -------
    dict of ndarray, shape (n,) each
        Columns ``formula``, ``adversarial_formula`` (see `write_formulas`),
        ``max_fraction_change`` (per slot: a substitution alone is no change),
        ``substituted`` (such as ``"Na->K, Cl->Br"``, empty for none), ``target``,
        ``prediction``, ``adversarial_prediction``, ``displacement_rms``.

    Raises
    ------
    DataError
        If the lengths differ, or the attack changed the number of elements of a row.
    """
    after = adversarial.to_compositions()
    if not np.array_equal(start.starts, after.starts):
        raise DataError(
            f"{len(start)} starting rows of {start.starts[-1]} elements and {len(after)} "
            f"adversarial rows of {after.starts[-1]} elements do not belong together"
        )
    numbers = {
        "target": target,
        "prediction": prediction,
        "adversarial_prediction": adversarial_prediction,
        "displacement_rms": displacement_rms,
    }
    columns: dict[str, NDArray[Any]] = {
        "formula": write_formulas(start) if formulas is None else np.array(formulas, dtype=object),
        "adversarial_formula": write_formulas(after),
        "max_fraction_change": _largest_changes(start, after),
        "substituted": _name_substitutions(start, after),
        **{name: np.asarray(values, dtype=np.float64) for name, values in numbers.items()},
    }
    for name, values in columns.items():
        if values.shape != (len(start),):
            raise DataError(f"{name} has the shape {values.shape}; expected ({len(start)},)")
    return columns


def crystal_frame(
    start: Structures, adversarial: Structures, **numbers: ArrayLike
) -> dict[str, NDArray[Any]]:
    """Return a table of n adversarial crystals.

    Parameters
    ----------
    start, adversarial : Structures
        N crystals before and after the attack, with the same atoms.
    **numbers : array_like of float, shape (n,)
        Further columns.

    Returns
    -------
    dict of ndarray, shape (n,) each
        Columns ``adversarial_formula``, ``substituted`` (such as ``"Na->K"``, empty for none),
        ``strain_xx`` to ``strain_xy`` (per cent, along the axes of the cell as it is written),
        ``strain_norm`` (Frobenius, per cent), ``largest_displacement`` (angstrom), and `numbers`.

    Raises
    ------
    DataError
        If the crystals have different numbers of atoms.
    """
    if not np.array_equal(start.starts, adversarial.starts):
        raise DataError(
            f"{len(start)} crystals of {start.starts[-1]} atoms and {len(adversarial)} adversarial "
            f"ones of {adversarial.starts[-1]} atoms do not belong together"
        )
    strains, shifts = measure_moves(start, adversarial)
    largest = np.zeros(len(start))
    np.maximum.at(largest, start.rows, np.linalg.norm(shifts, axis=1))
    before, after = start.compositions(), adversarial.compositions()
    return {
        "adversarial_formula": after.reduced_formulas(),
        "substituted": _name_substitutions(before, after),
        **{
            f"strain_{name}": 100.0 * strains[:, one, other]
            for name, (one, other) in zip(COMPONENTS, AXES, strict=True)
        },
        "strain_norm": 100.0 * np.linalg.norm(strains, axis=(1, 2)),
        "largest_displacement": largest,
        **{name: np.asarray(values, dtype=np.float64) for name, values in numbers.items()},
    }


def write_formulas(compositions: Compositions) -> NDArray[np.object_]:
    """Write compositions as formulas that `parse_formula` reads, without reducing the amounts.

    Elements are in order of electronegativity. Amounts have at most four decimals; smaller ones
    have four significant digits.

    Returns
    -------
    ndarray of object, shape (n,)
    """
    formulas, clear = np.empty((2, len(compositions)), dtype=object)
    # unknown electronegativities last, then by symbol, as in reduced formulas
    x = np.nan_to_num(load_elements().electronegativity, nan=np.inf)
    rank = np.argsort(np.lexsort((np.array(SYMBOLS), x)))
    for row in range(len(compositions)):
        span = slice(compositions.starts[row], compositions.starts[row + 1])
        pairs = zip(compositions.z[span].tolist(), compositions.amounts[span].tolist(), strict=True)
        parts = sorted(pairs, key=lambda pair: rank[pair[0]])
        words = [(SYMBOLS[z], _write_amount(amount)) for z, amount in parts]
        formulas[row] = "".join(symbol + word for symbol, word in words)
        clear[row] = "".join(symbol + (word or "1") for symbol, word in words)
    _, reasons, _ = parse_formulas(formulas.tolist())  # Fe1.5H2O might be a hydrate
    return np.where(reasons == "", formulas, clear)


def _write_amount(amount: float) -> str:
    rounded = round(amount, _DECIMALS)
    if rounded == 1.0:
        return ""
    if rounded < 10.0**-_DECIMALS:
        return f"{amount:.3e}"
    return f"{rounded:.{_DECIMALS}f}".rstrip("0").rstrip(".")


def _largest_changes(start: Compositions, after: Compositions) -> NDArray[np.float64]:
    sizes = start.sizes
    row = np.repeat(np.arange(len(start)), sizes)
    before, now = (
        c.amounts / np.bincount(row, c.amounts, minlength=len(start))[row] for c in (start, after)
    )
    largest = np.zeros(len(start))
    np.maximum.at(largest, row, np.abs(now - before))
    return largest


def _name_substitutions(start: Compositions, after: Compositions) -> NDArray[np.object_]:
    names = np.full(len(start), "", dtype=object)
    row = np.repeat(np.arange(len(start)), start.sizes)
    for at in np.flatnonzero(start.z != after.z).tolist():
        text = f"{SYMBOLS[start.z[at]]}->{SYMBOLS[after.z[at]]}"
        names[row[at]] = f"{names[row[at]]}, {text}" if names[row[at]] else text
    return names
