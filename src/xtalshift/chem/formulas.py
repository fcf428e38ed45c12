"""Parse one chemical formula: text to amounts of elements, or the reason for refusing it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, NoReturn, get_args

from xtalshift.chem.elements import ATOMIC_NUMBERS, SYMBOLS
from xtalshift.errors import ConfigError, FormulaError

Hydrates = Literal["refuse", "expand"]
Amounts = Literal["at", "wt", "mol"]


@dataclass(frozen=True)
class Notation:
    """How the formula texts of a table are to be read where they can be read in two ways."""

    hydrates: Hydrates = "refuse"
    """Refuse formulas of parts joined by a dot or star (``CuSO4*5H2O``), or add up the parts."""
    amounts: Amounts | None = None
    """Meaning of the numbers before the parts of an alloy or mixture (``Ti-6Al-4V``): atoms, weight
    or moles in percent or as shares; None refuses such texts."""
    capitals: bool = False
    """Whether the column is written in capitals (``AL2O3``), so that ``CO`` may be cobalt: such
    texts are refused."""


MAX_LENGTH = 1000
"""Longest formula in characters."""

MIN_AMOUNT = 1e-8
"""Smaller amounts are dropped (the tolerance of pymatgen)."""

MAX_AMOUNT = 1e9
"""Larger amounts are refused: a single atom beside them would be lost in rounding."""

_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_MISSING = frozenset({"nan", "NAN", "none", "None", "null", "NULL", "n/a", "N/A", "#N/A", "-", "?"})
_MINUS = "-\N{MINUS SIGN}\N{EN DASH}"
_VARIABLES = "xyzδ"
_TOKEN = re.compile(
    r"(?P<symbol>[A-Z][a-z]*)"
    r"|(?P<number>(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:e[+-]?[0-9]+)?)"
    r"|(?P<open>[(\[{])"
    r"|(?P<close>[)\]}])"
    r"|(?P<dot>[·•⋅∙*.])"
    rf"|(?P<charge>[{_MINUS}+^⁺⁻⁰¹²³⁴-⁹])"
    rf"|(?P<variable>[{_VARIABLES}])"
    r"|(?P<other>\S)"
)
# Fe(III) is an oxidation state, not iodine; (I)2 and (V)2 may be meant as atoms
_OXIDATION = re.compile(r"(?<=[A-Za-z0-9])\((?:III?|IV|VI{1,3}|[IV](?=\)(?!\s*[0-9])))\)")
# CuSO4.5H2O: is it O4.5 or five waters? (only 0.5 is certainly a decimal)
_DOT_WATER = re.compile(r"(?<!(?<![0-9])0)\.(?=(?:[0-9]+|0\.[0-9]+|)\(?[HD]2O\)?$)")
_TWO_DOTS_WATER = re.compile(r"[1-9][0-9]*\.[1-9][0-9]*\.[0-9]+\(?[HD]2O\)?$")


class ParsedFormula(NamedTuple):
    """The elements of one formula in order of first appearance.

    Attributes
    ----------
    z : tuple of int
        Atomic numbers, each once.
    amounts : tuple of float
        Their amounts (atoms per formula) as written: neither reduced nor normalised.
    notes : tuple of str
        Remarks on how the text was read, such as ``"D counted as H"``.
    """

    z: tuple[int, ...]
    amounts: tuple[float, ...]
    notes: tuple[str, ...]


def parse_formula(text: object, *, hydrates: Hydrates = "refuse") -> ParsedFormula:
    """Parse one chemical formula.

    Brackets ``() [] {}`` may be nested. Amounts may be fractional (``0.5``, ``.5``) or in
    scientific notation (``1e-3``). Subscript digits are digits. D and T count as H.

    Parameters
    ----------
    text : str
        The formula, such as ``"Ca10(PO4)6(OH)2"``.
    hydrates : {"refuse", "expand"}, default "refuse"
        Refuse formulas of parts joined by a dot or star, such as ``CuSO4·5H2O``, or add up
        the parts.

    Returns
    -------
    ParsedFormula

    Raises
    ------
    FormulaError
        If the text is not a neutral formula with positive amounts of known elements. The
        message quotes the text, the position of the error and the remedy.
    ConfigError
        If `hydrates` is unknown.

    Examples
    --------
    >>> parse_formula("Fe2(SO4)3")
    ParsedFormula(z=(26, 16, 8), amounts=(2.0, 3.0, 12.0), notes=())
    """
    check_hydrates(hydrates)
    if not isinstance(text, str):
        raise FormulaError(
            f"formula {_quote(text)} is of type {type(text).__name__}, not text; "
            "give a formula such as 'Fe2O3'"
        )
    if len(text) > MAX_LENGTH:
        raise FormulaError(
            f"formula {_quote(text)} has {len(text)} characters; at most {MAX_LENGTH} are read, "
            "shorten it"
        )
    if not text.strip() or text.strip() in _MISSING:
        raise FormulaError(f"formula {_quote(text)} is empty or missing; give one such as 'Fe2O3'")
    scan = _Scan(text, hydrates)
    scan.run()
    return scan.result()


def check_hydrates(hydrates: str) -> None:
    """Raise `ConfigError` if `hydrates` is not a value of `Hydrates`."""
    if hydrates not in get_args(Hydrates):
        raise ConfigError(f"hydrates={hydrates!r}: use 'refuse' or 'expand'")


class _Scan:
    """One pass over the tokens of a text, with a stack of open brackets."""

    def __init__(self, text: str, hydrates: Hydrates) -> None:
        self.text = text
        self.hydrates = hydrates
        self.z: list[int] = []
        self.amounts: list[float] = []
        self.notes: list[str] = []
        self.groups: list[tuple[str, int, int]] = []  # bracket, its position, first element in it
        self.closed = 0  # first element of the group closed last
        self.part = 0  # first element of the part after the last hydrate dot
        self.factor = 1.0  # the number before that part
        self.previous = "start"

    def refuse(self, what: str, position: int, remedy: str) -> NoReturn:
        """Raise `FormulaError` with the position counted from 1."""
        where = f"at character {position + 1}"
        raise FormulaError(f"formula {_quote(self.text)}: {what} {where}; {remedy}")

    def run(self) -> None:
        """Read all tokens."""
        for match in _TOKEN.finditer(self.prepared()):
            self.read(kind := str(match.lastgroup), match[0], match.start())
            self.previous = kind
        self.close_part(len(self.text.rstrip()) - 1)

    def read(self, kind: str, token: str, position: int) -> None:
        """Read one token."""
        match kind:
            case "symbol":
                self.read_symbol(token, position)
            case "number":
                self.read_number(token, position)
            case "open":
                self.groups.append((token, position, len(self.z)))
            case "close":
                self.read_close(token, position)
            case "dot":
                self.read_dot(token, position)
            case "charge":
                self.read_charge(token, position)
            case "variable":
                self.refuse(f"the variable amount {token!r}", position, "write its value")
            case _:
                self.read_other(token, position)

    def prepared(self) -> str:
        """Return a text of the same length with plain digits and unambiguous hydrate dots."""
        text = self.text.translate(_SUBSCRIPTS)
        if text != self.text:
            self.notes.append("subscript digits read as plain digits")
        text = text.rstrip()
        if state := _OXIDATION.search(text):
            self.refuse(f"oxidation state {state[0]!r}", state.start(), "remove oxidation states")
        if split := _TWO_DOTS_WATER.search(text):
            self.refuse(
                f"{split[0]!r} can be read in two ways",
                split.start(),
                "write the dot of the hydrate as '·'",
            )
        if dot := _DOT_WATER.search(text):
            if text[dot.end()].isdigit():
                if self.hydrates == "refuse":
                    self.refuse(
                        "a dot before water may be a decimal point or mark a hydrate",
                        dot.start(),
                        "use --hydrates expand for a hydrate, or write the water as H2O1",
                    )
                self.notes.append(f"{text[dot.start() :]!r} read as a hydrate")
            text = f"{text[: dot.start()]}·{text[dot.end() :]}"
        return text

    def read_symbol(self, symbol: str, position: int) -> None:
        z = ATOMIC_NUMBERS.get(symbol)
        if z is None and symbol in {"D", "T"}:
            z = ATOMIC_NUMBERS["H"]
            self.notes.append(f"{symbol} counted as H")
        if z is None:
            hint = _symbol_hint(self.text, position)
            self.refuse(f"unknown element {symbol!r}", position, f"use IUPAC symbols{hint}")
        self.z.append(z)
        self.amounts.append(1.0)

    def read_number(self, number: str, position: int) -> None:
        value = float(number)
        if self.previous == "symbol":
            self.amounts[-1] = value
        elif self.previous == "close":
            self.scale(self.closed, value)
        elif self.previous == "dot" or (self.previous == "start" and self.hydrates == "expand"):
            self.factor = value
        elif self.previous == "start":
            self.refuse(f"the number {number} before the formula", position, "remove it")
        else:
            self.refuse(
                f"the number {number} follows no element or bracket", position, "correct it"
            )

    def read_close(self, bracket: str, position: int) -> None:
        if not self.groups:
            self.refuse(f"{bracket!r} closes no bracket", position, "remove it or open one")
        opening, _, self.closed = self.groups.pop()
        if _CLOSING[opening] != bracket:
            self.refuse(f"{bracket!r} closes {opening!r}", position, "use brackets in pairs")
        if self.closed == len(self.z):
            self.refuse("empty brackets", position, "remove them")

    def read_dot(self, dot: str, position: int) -> None:
        if self.hydrates == "refuse":
            self.refuse(
                f"{dot!r} joins parts as in a hydrate",
                position,
                "use --hydrates expand to count all parts, or write one formula",
            )
        self.close_part(position)

    def read_charge(self, sign: str, position: int) -> None:
        following = self.text[position + 1 : position + 2]
        if following and following in _VARIABLES:  # as in YBa2Cu3O7-x
            self.read("variable", following, position + 1)
        self.refuse(
            f"{sign!r} marks a charge or a negative amount",
            position,
            "write the neutral formula with positive amounts",
        )

    def read_other(self, character: str, position: int) -> None:
        hint = _symbol_hint(self.text, position) if character.islower() else ""
        self.refuse(
            f"unexpected {character!r}", position, f"use element symbols, numbers, brackets{hint}"
        )

    def close_part(self, position: int) -> None:
        """Finish the formula, or the part before a hydrate dot."""
        if self.groups:
            bracket, opened, _ = self.groups[-1]
            self.refuse(f"{bracket!r} is not closed", opened, "close it")
        if self.part == len(self.z):
            self.refuse("no element", position, "write a formula on both sides of a dot")
        self.scale(self.part, self.factor)
        self.part, self.factor = len(self.z), 1.0

    def scale(self, first: int, factor: float) -> None:
        self.amounts[first:] = [amount * factor for amount in self.amounts[first:]]

    def result(self) -> ParsedFormula:
        """Sum repeated elements, drop negligible amounts and check the others."""
        total: dict[int, float] = {}
        for z, amount in zip(self.z, self.amounts, strict=True):
            total[z] = total.get(z, 0.0) + amount
        if not max(total.values()) <= MAX_AMOUNT:  # also true for NaN (0 times infinity)
            largest = max(total.values())
            raise FormulaError(
                f"formula {_quote(self.text)}: the amount {largest:g} is above {MAX_AMOUNT:g}; "
                "write smaller numbers"
            )
        kept = {z: amount for z, amount in total.items() if amount >= MIN_AMOUNT}
        if not kept:
            raise FormulaError(
                f"formula {_quote(self.text)}: all amounts are zero; write positive amounts"
            )
        if len(kept) < len(total):
            dropped = ", ".join(SYMBOLS[z] for z in total if z not in kept)
            self.notes.append(f"{dropped} dropped: the amount is zero")
        return ParsedFormula(tuple(kept), tuple(kept.values()), tuple(dict.fromkeys(self.notes)))


def _symbol_hint(text: str, position: int) -> str:
    """Return a suggestion for the unknown symbol at `position`, or an empty text."""
    first = text[position].upper()
    nearest = (
        text[position : position + 2],  # fe, or the Si of Sio
        text[max(position - 1, 0) : position + 1],  # the F of FE was read as fluorine
        *(symbol for symbol in ATOMIC_NUMBERS if symbol.startswith(first)),
    )
    known = (near.capitalize() for near in nearest if near.capitalize() in ATOMIC_NUMBERS)
    symbol = next(known, None)
    return f" (did you mean {symbol!r}?)" if symbol else ""


def _quote(value: object, limit: int = 60) -> str:
    """Return the repr of `value` without its middle if it is long."""
    text = repr(value[: 2 * limit] if isinstance(value, str) else value)
    return text if len(text) <= limit else f"{text[: limit - 13]}...{text[-10:]}"
