"""Parse one chemical formula: text to amounts of elements, or the reason for refusing it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, NoReturn, get_args

from xtalshift.chem.advice import Advice, abbreviation, recase, unknown_symbol, whole_text
from xtalshift.chem.element_amounts import is_dictionary, read_dictionary
from xtalshift.chem.elements import ATOMIC_NUMBERS, SYMBOLS
from xtalshift.chem.mixtures import (
    Amounts,
    has_grouped_parts,
    is_mixture,
    mixture_readings,
    read_mixture,
)
from xtalshift.chem.slips import find_doubts, find_slip, oxide_of_element
from xtalshift.chem.two_readings import can_cancel, find_joints
from xtalshift.chem.typography import plain_text
from xtalshift.errors import ConfigError, FormulaError

Hydrates = Literal["refuse", "expand"]


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

    def describe(self) -> str:
        """Return in one line what is not refused, and what is."""
        joined = "added up" if self.hydrates == "expand" else "refused"
        mixed = {"at": "in at%", "wt": "in wt%", "mol": "in mol%"}.get(
            self.amounts or "", "refused"
        )
        capitals = "; in capitals, what may be another symbol is refused" if self.capitals else ""
        return f"parts joined by a dot {joined}, alloys and mixtures {mixed}{capitals}"


MAX_LENGTH = 1000
"""Longest formula in characters."""

MIN_AMOUNT = 1e-8
"""Smaller amounts are dropped (the tolerance of pymatgen)."""

MAX_AMOUNT = 1e9
"""Larger amounts are refused: a single atom beside them would be lost in rounding."""

LARGE_AMOUNT = 100
"""From this amount on a lone element gets a note: ``Al6061`` is a grade, not 6061 atoms."""

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_MISSING = frozenset({"nan", "NAN", "none", "None", "null", "NULL", "n/a", "N/A", "#N/A", "-", "?"})
_MINUS = "-\N{MINUS SIGN}\N{EN DASH}"
_VARIABLES = "xyzδ"
_TOKEN = re.compile(
    r"(?P<symbol>[A-Z][a-z]*)"
    r"|(?P<number>[0-9]+/[0-9]+(?![0-9.])"
    r"|(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:(?:e[+-]?|E[+-])[0-9]+)?)"
    r"|(?P<open>[(\[{])"
    r"|(?P<close>[)\]}])"
    r"|(?P<dot>[·•⋅∙*.])"
    rf"|(?P<charge>[{_MINUS}+^⁺⁻⁰¹²³⁴-⁹])"
    rf"|(?P<variable>[{_VARIABLES}])"
    r"|(?P<other>\S)"
)
# Fe(III) is an oxidation state, not iodine
_OXIDATION = re.compile(r"(?<=[A-Za-z0-9])(?:\((?:I{1,3}|IV|VI{0,3})\)|I{2,3}(?![a-z]))")
_ATOMS_IN_BRACKETS = re.compile(r".*[A-Za-z0-9]\([IV]\)[0-9.]+$")  # CsPb(I)3
_REMEDIES = {
    "/": "write one material per row",
    "@": "write one formula of all atoms",
    ",": "write the amount of each element, as in Ba0.5Sr0.5TiO3",
    "=": "write the value of the variable into the formula",
    "□": "leave a vacancy out",
}
_DECIMAL_COMMA = re.compile(r"(?<=[0-9]),(?=[0-9])")


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


def parse_formula(
    text: object, *, hydrates: Hydrates = "refuse", amounts: Amounts | None = None
) -> ParsedFormula:
    """Parse one chemical formula.

    Brackets ``() [] {}`` may be nested. Amounts may be fractional (``0.5``, ``.5``, ``1/3``) or in
    scientific notation (``1e-3``, ``1E-03``). Subscripts may be set as ``₂``, ``<sub>2</sub>``,
    ``$_2$`` or ``_2``. D and T count as H. A dictionary of amounts (``{'Fe': 2, 'O': 3}``) is read
    too. A text that can be read in two ways is refused unless an option says which is meant.

    Parameters
    ----------
    text : str
        The formula, such as ``"Ca10(PO4)6(OH)2"``.
    hydrates : {"refuse", "expand"}, default "refuse"
        Refuse formulas of parts joined by a dot or star, such as ``CuSO4·5H2O`` and
        ``CaO.2Al2O3``, or add up the parts.
    amounts : {"at", "wt", "mol"}, optional
        Meaning of the numbers of alloys and mixtures (``Ti-6Al-4V``, ``80Li2S 20P2S5``): atoms,
        weight or moles, in percent or as shares; one part without a number is the balance. By
        default they are refused, unless they say it themselves (``Al-4wt%Cu``).

    Returns
    -------
    ParsedFormula
        Of alloys and mixtures the amounts are in atomic percent.

    Raises
    ------
    FormulaError
        If the text is not a neutral formula with positive amounts of known elements. The
        message quotes the text, the position of the error and the remedy; `likely` is the formula
        that was probably meant, if there is one.
    ConfigError
        If `hydrates` or `amounts` is unknown.

    Examples
    --------
    >>> parse_formula("Fe2(SO4)3")
    ParsedFormula(z=(26, 16, 8), amounts=(2.0, 3.0, 12.0), notes=())
    """
    check_notation(hydrates, amounts)
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
    if is_dictionary(text.strip()):
        return _read_dictionary(text)
    plain, notes = plain_text(text)
    plain = plain.rstrip()
    named = f"formula {_quote(text)}"
    if plain != text.rstrip():
        named += f" (read as {_quote(plain)})"
    if advice := whole_text(plain):
        raise _refusal(f"{named}: {advice.what}; {advice.remedy}", advice.likely)
    if is_mixture(plain):
        return _read_mixture(named, plain, hydrates, amounts, notes)
    scan = _Scan(named, plain, hydrates, notes)
    scan.run()
    return scan.result()


def is_formula(text: str) -> bool:
    """Return whether `parse_formula` reads a text."""
    try:
        parse_formula(text)
    except FormulaError:
        return False
    return True


def check_notation(hydrates: str, amounts: str | None = None) -> None:
    """Raise `ConfigError` if a value is not one of `Hydrates` or `Amounts`."""
    if hydrates not in get_args(Hydrates):
        raise ConfigError(f"hydrates={hydrates!r}: use 'refuse' or 'expand'")
    if amounts is not None and amounts not in get_args(Amounts):
        raise ConfigError(f"amounts={amounts!r}: use 'at', 'wt' or 'mol'")


def _read_dictionary(text: str) -> ParsedFormula:
    named = f"formula {_quote(text)}"
    try:
        found = read_dictionary(text.strip())
    except ValueError as error:
        raise FormulaError(f"{named}: {error}; write it as {{'Fe': 2, 'O': 3}}") from None
    hydrogen = [name for name in "DT" if re.search(rf"['\"]{name}\b", text)]
    return _total(named, found, [f"{name} counted as H" for name in hydrogen])


def _read_mixture(
    named: str, text: str, hydrates: Hydrates, amounts: Amounts | None, notes: list[str]
) -> ParsedFormula:
    def parse(unit: str) -> dict[int, float]:
        try:
            part = parse_formula(unit, hydrates=hydrates)
        except FormulaError as error:
            reason = str(error).removeprefix(f"formula {_quote(unit)}")
            raise FormulaError(f"{named}, part {_quote(unit)}{reason}") from None
        notes.extend(part.notes)
        return dict(zip(part.z, part.amounts, strict=True))

    if has_grouped_parts(text):
        raise FormulaError(
            f"{named} is an alloy or a mixture with brackets around some of its parts; write the "
            "parts one after the other without brackets, as in Ti-6Al-4V"
        )
    try:
        atoms = read_mixture(text, amounts, parse)
    except FormulaError:
        raise
    except ValueError as error:
        if amounts is None and "%" not in text:
            raise FormulaError(
                f"{named} is written as an alloy or a mixture (or has charges): "
                f"{mixture_readings(text)}? use --amounts wt, at or mol, or write one neutral "
                "formula without spaces and dashes"
            ) from None
        remedy = "use --amounts wt, at or mol" if amounts is None else "write one formula"
        raise FormulaError(f"{named}: {error}; {remedy}") from None
    return _total(named, atoms, [*notes, "read as a mixture"])


def _total(named: str, amounts: dict[int, float], notes: list[str]) -> ParsedFormula:
    """Drop negligible amounts and check the others."""
    if not amounts:
        raise FormulaError(f"{named}: it names no element; give one such as 'Fe2O3'")
    if not max(amounts.values()) <= MAX_AMOUNT:  # also true for NaN (0 times infinity)
        largest = max(amounts.values())
        raise FormulaError(
            f"{named}: the amount {largest:g} is above {MAX_AMOUNT:g}; write smaller numbers"
        )
    kept = {z: amount for z, amount in amounts.items() if amount >= MIN_AMOUNT}
    if not kept:
        raise FormulaError(f"{named}: all amounts are zero; write positive amounts")
    if len(kept) < len(amounts):
        dropped = ", ".join(SYMBOLS[z] for z in amounts if z not in kept)
        notes = [*notes, f"an amount is zero: {dropped} dropped"]
    return ParsedFormula(tuple(kept), tuple(kept.values()), tuple(dict.fromkeys(notes)))


def _refusal(message: str, likely: str, hydrates: Hydrates = "refuse") -> FormulaError:
    """Return an error that suggests a formula, if it is one."""
    try:
        if likely:
            parse_formula(likely, hydrates=hydrates)
    except FormulaError:
        likely = ""
    error = FormulaError(f"{message} (did you mean {likely!r}?)" if likely else message)
    error.likely = likely
    return error


class _Scan:
    """One pass over the tokens of a plain text, with a stack of open brackets."""

    def __init__(self, named: str, text: str, hydrates: Hydrates, notes: list[str]) -> None:
        self.named = named
        self.written = self.text = text
        self.hydrates = hydrates
        self.z: list[int] = []
        self.amounts: list[float] = []
        self.notes = notes
        self.groups: list[tuple[str, int, int]] = []  # bracket, its position, first element in it
        self.closed = 0  # first element of the group closed last
        self.part = 0  # first element of the part after the last hydrate dot
        self.factor = 1.0  # the number before that part
        self.previous = "start"

    def refuse(self, what: str, position: int, remedy: str, likely: str = "") -> NoReturn:
        """Raise `FormulaError` with the position counted from 1."""
        message = f"{self.named}: {what} at character {position + 1}; {remedy}"
        raise _refusal(message, likely, self.hydrates)

    def refuse_with(self, advice: Advice, position: int) -> NoReturn:
        """Raise `FormulaError` with an advice."""
        self.refuse(advice.what, position, advice.remedy, advice.likely)

    def run(self) -> None:
        """Read all tokens."""
        self.text = self.prepared()
        for match in _TOKEN.finditer(self.text):
            self.read(kind := str(match.lastgroup), match[0], match.start())
            self.previous = kind
        self.close_part(len(self.text) - 1)

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
                self.read_dot(position)
            case "charge":
                self.read_charge(token, position)
            case "variable":
                self.refuse(f"the variable amount {token!r}", position, "write its value")
            case _:
                self.read_other(token, position)

    def prepared(self) -> str:
        """Return a text of the same length in which all dots that join parts are ``·``."""
        text = self.text
        atoms = _ATOMS_IN_BRACKETS.fullmatch(text) and can_cancel(text)
        if not atoms and (state := _OXIDATION.search(text)):
            self.refuse(f"oxidation state {state[0]!r}", state.start(), "remove oxidation states")
        if comma := _DECIMAL_COMMA.search(text):
            self.refuse(
                "a comma in a number", comma.start(), "write a point", text.replace(",", ".")
            )
        for at, sure, decimal, part, remedy in find_joints(text):
            count = part.split()[0]
            if (not sure and "." in count) or re.match("0[0-9]", count):
                self.refuse(
                    f"{text[at:]!r} can be read in two ways",
                    at,
                    "write the dot between parts as '·'",
                )
            if not sure and self.hydrates == "refuse":
                self.refuse(
                    f"the dot can be read in two ways, {decimal} or {part},",
                    at,
                    f"write {remedy!r} if it is a decimal point, or use --hydrates expand to add "
                    "up the parts",
                )
            if not sure:
                self.notes.append(f"a part is added: {part!r}")
            text = f"{text[:at]}·{text[at + 1 :]}"
        for unit in re.finditer(r"[^·•⋅∙*]+", text):
            if slip := find_slip(unit[0]):
                before, behind = self.text[: unit.start()], self.text[unit.end() :]
                likely = f"{before}{slip.likely}{behind}"
                self.refuse(slip.what, unit.start() + slip.position, slip.remedy, likely)
        return text

    def read_symbol(self, symbol: str, position: int) -> None:
        z = ATOMIC_NUMBERS.get(symbol)
        if z is None and symbol in {"D", "T"}:
            if advice := abbreviation(self.text, position):
                self.refuse_with(advice, position)
            if self.text.isupper() and can_cancel(likely := recase(self.text)):  # TIO2
                self.refuse(
                    f"{symbol!r} may be part of a symbol",
                    position,
                    f"use small letters, or write H for {symbol}",
                    likely,
                )
            z = ATOMIC_NUMBERS["H"]
            self.notes.append(f"{symbol} counted as H")
        if z is None and symbol[-1] in _VARIABLES and symbol[:-1] in ATOMIC_NUMBERS:
            self.read("variable", symbol[-1], position + len(symbol) - 1)
        if z is None:
            self.refuse_with(unknown_symbol(self.text, position, symbol), position)
        self.z.append(z)
        self.amounts.append(1.0)

    def read_number(self, number: str, position: int) -> None:
        numerator, slash, denominator = number.partition("/")
        value = float(numerator)
        if slash:
            value = value / float(denominator) if float(denominator) else float("inf")
            self.notes.append(f"a fraction read as a number: {number}")
        if self.previous == "symbol":
            self.amounts[-1] = value
        elif self.previous == "close":
            self.scale(self.closed, value)
        elif self.previous == "dot" or (self.previous == "start" and self.hydrates == "expand"):
            if not value:
                self.refuse(f"the number {number} before a part", position, "write a positive one")
            self.factor = value
        elif self.previous == "start":
            remedy = "remove it"
            if any(mark in self.text for mark in ".·•⋅∙*"):
                remedy = "use --hydrates expand to add up the parts, or write one formula"
            self.refuse(f"the number {number} before the formula", position, remedy)
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

    def read_dot(self, position: int) -> None:
        if self.hydrates == "refuse":
            self.refuse(
                f"{self.written[position]!r} joins parts as in a hydrate",
                position,
                "use --hydrates expand to count all parts, or write one formula",
            )
        if self.text.startswith("..", position):
            self.refuse("two dots in a row", position, "write one")
        self.close_part(position)

    def read_charge(self, sign: str, position: int) -> None:
        following = self.text[position + 1 : position + 2]
        if following and following in f"{_VARIABLES}d":  # as in YBa2Cu3O7-x
            self.read("variable", following, position + 1)
        self.refuse(
            f"{sign!r} marks a charge or a negative amount",
            position,
            "write the neutral formula with positive amounts",
        )

    def read_other(self, character: str, position: int) -> None:
        if advice := abbreviation(self.text, position):
            self.refuse_with(advice, position)
        if character in "nm" and self.previous == "dot":  # as in Na2CO3.nH2O
            self.read("variable", character, position)
        likely = recase(self.text) if character.islower() and self.previous != "open" else ""
        remedy = _REMEDIES.get(character, "use element symbols, numbers, brackets")
        self.refuse(f"unexpected {character!r}", position, remedy, likely)

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
        """Sum repeated elements, and note what is unusual."""
        self.notes += find_doubts(self.text.strip())
        total: dict[int, float] = {}
        for z, amount in zip(self.z, self.amounts, strict=True):
            total[z] = total.get(z, 0.0) + amount
        if len(total) == 1:
            (z, amount), text = next(iter(total.items())), self.text.strip()
            if oxide := oxide_of_element(text):
                self.notes.append(
                    f"an element that may be an oxide: {SYMBOLS[z]}, write {oxide} for the oxide"
                )
            elif amount >= LARGE_AMOUNT or (amount > 1 and " " in text):
                self.notes.append(f"the amount of a lone element changes nothing: {SYMBOLS[z]}")
        return _total(self.named, total, self.notes)


def _quote(value: object, limit: int = 60) -> str:
    """Return the repr of `value` without its middle if it is long."""
    text = repr(value[: 2 * limit] if isinstance(value, str) else value)
    return text if len(text) <= limit else f"{text[: limit - 13]}...{text[-10:]}"
