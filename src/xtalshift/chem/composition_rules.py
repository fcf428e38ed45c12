"""Rules on compositions as text, such as ``"F and rare_earth"`` or ``"O > 0.5"``."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable
from functools import reduce
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import Compositions
from xtalshift.chem.elements import ATOMIC_NUMBERS, ELEMENT_CLASSES
from xtalshift.chem.families import FAMILIES, family_codes
from xtalshift.errors import SplitError
from xtalshift.registry import near_miss

BoolArray: TypeAlias = NDArray[np.bool_]

_EXAMPLES = (
    "F and rare_earth, (S or Se) and not O, 0.1 < F <= 0.4, n_elements >= 4, family == oxide"
)
_COMPARISONS = {"n_elements": "n_elements >= 4", "family": "family == oxide"}
_JOINTS = ("and", "or", "not")
_SPELLED = re.compile(
    r"\b(?:"
    + "|".join(
        name.replace("_", r"[\s_-]+") for name in (*ELEMENT_CLASSES, "n_elements") if "_" in name
    )
    + ")",
    re.IGNORECASE,
)
_WORD_OR_NUMBER = re.compile(r"(?P<number>\.?\d(?:[eE][+-]|[\w.])*)|\w+")
_ALLOWED = re.compile(r"[\w\s()<>=!.+&|'\"-]*")
_OPERATORS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_DECIMALS = 12  # fractions are rounded before comparison, so that 0.1 + 0.2 equals 0.3


def match_rule(rule: str, compositions: Compositions) -> BoolArray:
    """Return which compositions match a rule.

    ======================  ==============================================================
    part of a rule          a composition matches if
    ======================  ==============================================================
    ``F``                   it contains the element (case matters)
    ``rare_earth``          it contains an element of the class (see below)
    ``O > 0.5``             the atomic fraction (of a class: the sum over its elements) is so
    ``0.1 < F <= 0.4``      both hold; also ``>=``, ``==`` and ``!=``
    ``n_elements >= 4``     the number of elements is so
    ``family == oxide``     `xtalshift.chem.families` assigns it to the family; also ``!=``
    ``A and B``, ``A & B``  both hold
    ``A or B``, ``A | B``   at least one holds
    ``not A``               it does not hold; parentheses group
    ``Li+O``                it contains both
    ======================  ==============================================================

    Words of a class may be joined by ``_``, ``-`` or a blank (``rare-earth``). The classes
    (`xtalshift.chem.elements.ELEMENT_CLASSES`) are

    - rare_earth: Sc, Y, La to Lu; lanthanide: La to Lu; actinide: Ac to Lr;
    - alkali_metal: Li to Fr; alkaline_earth: Be to Ra;
    - transition_metal: groups 3 to 12 with Zn, Cd, Hg, and with Lu and Lr but not La and Ac;
    - post_transition_metal: Al, Ga, In, Sn, Tl, Pb, Bi, Nh, Fl, Mc, Lv;
    - metalloid: B, Si, Ge, As, Sb, Te, Po;
    - halogen: F to Ts; chalcogen: O to Lv; pnictogen: N to Mc; noble_gas: He to Og;
    - metal: the alkali, alkaline-earth, transition and post-transition metals, lanthanides and
      actinides; nonmetal: H, C, N, O, P, S, Se, halogens and noble gases. Every element is one
      of metal, metalloid and nonmetal.

    Parameters
    ----------
    rule : str
        The rule.
    compositions : Compositions
        n rows; rows without elements (invalid formulas) match no rule, not even ``not F``.

    Returns
    -------
    ndarray of bool, shape (n,)
        All False if no row contains the element.

    Raises
    ------
    SplitError
        If the rule cannot be read; the message names the part and the possibilities.

    Examples
    --------
    >>> from xtalshift.chem.compositions import parse_formulas
    >>> compositions, _, _ = parse_formulas(["LaF3", "LaOF", "NaF"])
    >>> match_rule("F and rare earth and not O", compositions).tolist()
    [True, False, False]
    """
    try:
        found = _Matcher(rule, compositions).holds(_parse(rule))
    except RecursionError:
        raise SplitError(f"rule {rule[:40]!r}.. is nested too deeply; write it flatter") from None
    return found & (compositions.sizes > 0)


def _parse(rule: str) -> ast.expr:
    """Return the syntax tree of a rule of known words."""
    text = " ".join(rule.split())
    text = _SPELLED.sub(lambda found: re.sub(r"[\s_-]+", "_", found[0].lower()), text)
    text = re.sub("&+", " and ", re.sub(r"\|+", " or ", text))
    if not text:
        raise SplitError(f"rule {rule!r} is empty; write one such as: {_EXAMPLES}")
    if not _ALLOWED.fullmatch(text):
        strange = text[_ALLOWED.match(text).end()]  # type: ignore[union-attr]
        raise SplitError(f"rule {rule!r} has a {strange!r}; write one such as: {_EXAMPLES}")
    known = (*ATOMIC_NUMBERS, *ELEMENT_CLASSES, "n_elements", "family", *FAMILIES, *_JOINTS)
    for found in _WORD_OR_NUMBER.finditer(text):
        if found["number"]:
            _check_number(rule, found[0])
        elif found[0] not in known:
            raise SplitError(_unknown(rule, "element or class", found[0], known))
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, MemoryError) as error:
        offset = getattr(error, "offset", None)  # counts from 1; 0 is an unfinished rule
        where = f"at {text[offset - 1 :]!r}" if offset else "to its end"
        raise SplitError(
            f"rule {rule!r} cannot be read {where}; join parts by and, or, not, as in: {_EXAMPLES}"
        ) from None


def _check_number(rule: str, word: str) -> None:
    try:
        float(word)
    except ValueError:
        raise SplitError(f"rule {rule!r}: {word!r} is not a number such as 0.5") from None


def _unknown(rule: str, kind: str, word: str, known: Iterable[str]) -> str:
    return (
        f"rule {rule!r}: unknown {kind} {word!r}{near_miss(word, known)}. Use symbols of "
        f"elements (case matters), the classes {', '.join(ELEMENT_CLASSES)}, or comparisons of "
        f"n_elements and family ({', '.join(FAMILIES)})"
    )


class _Matcher:
    """Applies the syntax tree of one rule to n compositions; it evaluates no code."""

    def __init__(self, rule: str, compositions: Compositions) -> None:
        self.rule = rule
        self.compositions = compositions
        self.rows = np.repeat(np.arange(len(compositions)), compositions.sizes)

    def holds(self, node: ast.expr) -> BoolArray:
        """Return where a part of the rule holds, shape (n,)."""
        match node:
            case ast.BoolOp(op=joint, values=parts):
                join = operator.and_ if isinstance(joint, ast.And) else operator.or_
                return reduce(join, map(self.holds, parts))
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return ~self.holds(part)
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                return self.holds(left) & self.holds(right)
            case ast.Compare(left=ast.Name(id="family")):
                return self._in_family(node)
            case ast.Compare():
                return self._compare(node)
            case ast.Name(id=name) if name in ATOMIC_NUMBERS or name in ELEMENT_CLASSES:
                return self._amounts(name) > 0
            case ast.Name(id=name):
                remedy = _COMPARISONS.get(name, f"family == {name}")
                raise self._wrong(node, f"needs a comparison, such as {remedy}")
            case _:
                raise self._wrong(node, f"is not a condition; write one such as: {_EXAMPLES}")

    def _compare(self, node: ast.Compare) -> BoolArray:
        parts = [node.left, *node.comparators]
        numbers = [part for part in parts if isinstance(part, ast.Constant)]
        if len(numbers) == len(parts):
            raise self._wrong(node, "compares no element, class or n_elements")
        values = [self._quantity(part) for part in parts]
        fractions = any(isinstance(p, ast.Name) and p.id != "n_elements" for p in parts)
        if fractions and not all(0 <= self._quantity(number) <= 1 for number in numbers):
            raise self._wrong(node, "compares an atomic fraction, which lies between 0 and 1")
        steps = zip(node.ops, pairwise(values), strict=True)
        return reduce(operator.and_, (_OPERATORS[type(op)](*pair) for op, pair in steps))

    def _quantity(self, node: ast.expr) -> Any:
        """Return a number, or the quantity that a name stands for, shape (n,)."""
        match node:
            case ast.Constant(value=int() | float() as value):
                return round(value, _DECIMALS)
            case ast.Name(id="n_elements"):
                return self.compositions.sizes
            case ast.Name(id=name) if name in ATOMIC_NUMBERS or name in ELEMENT_CLASSES:
                totals = self._sums(self.compositions.amounts)
                totals[self.compositions.sizes == 0] = 1  # avoids 0 / 0 in invalid rows
                return np.round(self._amounts(name) / totals, _DECIMALS)
            case _:
                raise self._wrong(
                    node, "cannot be compared; compare one element, class or n_elements at a time"
                )

    def _in_family(self, node: ast.Compare) -> BoolArray:
        match node.ops, node.comparators:
            case [ast.Eq() | ast.NotEq() as op], [
                ast.Name(id=str(name)) | ast.Constant(value=str(name))
            ]:
                if name not in FAMILIES:
                    raise SplitError(_unknown(self.rule, "family", name, FAMILIES))
                codes = family_codes(self.compositions)
                found: BoolArray = codes == list(FAMILIES).index(name)
                return found if isinstance(op, ast.Eq) else ~found
        raise self._wrong(
            node, "is not a condition on the family; write family == oxide or family != oxide"
        )

    def _amounts(self, name: str) -> NDArray[np.float64]:
        """Return the atoms of an element or a class, shape (n,)."""
        numbers = [ATOMIC_NUMBERS[symbol] for symbol in ELEMENT_CLASSES.get(name, (name,))]
        members = np.isin(self.compositions.z, numbers)
        return self._sums(self.compositions.amounts * members)

    def _sums(self, amounts: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.bincount(self.rows, amounts, minlength=len(self.compositions))
        return sums.astype(np.float64)  # bincount of no rows returns integers

    def _wrong(self, node: ast.expr, why: str) -> SplitError:
        return SplitError(f"rule {self.rule!r}: {ast.unparse(node)!r} {why}")
