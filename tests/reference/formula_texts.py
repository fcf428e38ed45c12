"""Formula texts of known composition, in every notation of docs/input.md, and texts beside them.

``pick(n)`` returns a whole number below n: drawn by NumPy, or by hypothesis.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from xtalshift.chem.elements import ATOMIC_NUMBERS, MAGPIE_PROPERTIES, SYMBOLS, load_elements

_UNITS = [
    ("Al2O3", {"Al": 2, "O": 3}), ("SiO2", {"Si": 1, "O": 2}), ("CaO", {"Ca": 1, "O": 1}),
    ("Na2O", {"Na": 2, "O": 1}), ("P2O5", {"P": 2, "O": 5}), ("TiO2", {"Ti": 1, "O": 2}),
    ("MgCl2", {"Mg": 1, "Cl": 2}), ("K2SO4", {"K": 2, "S": 1, "O": 4}),
    ("H2O", {"H": 2, "O": 1}), ("NH3", {"N": 1, "H": 3}), ("Mg(OH)2", {"Mg": 1, "O": 2, "H": 2}),
    ("CoCl2", {"Co": 1, "Cl": 2}), ("LiF", {"Li": 1, "F": 1}), ("ZnS", {"Zn": 1, "S": 1}),
]  # fmt: skip
_METALS = "Fe Cr Ni Mo Mn Co Al Ti V Cu W Nb Zr Mg Zn".split()  # noqa: SIM905
_ORDINARY = SYMBOLS[1:84]
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_MARKS = {
    "plain": lambda n: n, "tag": lambda n: f"<sub>{n}</sub>" if n else "",
    "latex": lambda n: f"$_{{{n}}}$" if n else "", "braces": lambda n: f"_{{{n}}}" if n else "",
    "unicode": lambda n: n.translate(_SUBSCRIPTS), "spaced": lambda n: f" {n} " if n else "",
    "comma": lambda n: n.replace(".", ","),
}  # fmt: skip
_KEYBOARD = ". -0,()[]+*/_:%{}'=~^·₂δxXeE159OCIlS"


@dataclass
class Sample:
    """A text, how it is to be read, and what is meant."""

    text: str
    meant: dict
    settings: dict = field(default_factory=dict)


def formula(pick):
    """Return a formula with brackets and amounts of all forms, in one of the notations."""
    mark = list(_MARKS)[pick(len(_MARKS))]
    text, meant = _units(pick, mark, pick(3))
    return Sample(text.strip(), meant)


def _units(pick, mark, depth):
    pieces, total = [], {}
    for _ in range(1 + pick(4)):
        if depth and not pick(3):
            inner, unit = _units(pick, mark, depth - 1)
            opening, closing = ("()", "[]", "{}")[pick(3) if mark == "plain" else 0]
            piece = f"{opening}{inner}{closing}"
        else:
            piece = _ORDINARY[pick(len(_ORDINARY))]
            unit = {piece: 1}
        number, value = _number(pick, mark)
        pieces.append(piece + _MARKS[mark](number))
        for symbol, amount in unit.items():
            total[symbol] = total.get(symbol, 0) + amount * value
    return "".join(pieces), total


def _number(pick, mark):
    whole, decimals = 1 + pick(24), 1 + pick(99)
    texts = ["", str(whole), f"0.{decimals:02d}", f"{whole}.{decimals:02d}"]
    if mark not in ("unicode", "comma"):
        texts += [f".{decimals:02d}", f"{whole}.0", f"1/{whole}"]
    if mark == "plain":
        texts += [f"{whole}e-1", f"{whole}E-01"]
    text = texts[pick(len(texts))]
    return text, Fraction(text) if text else Fraction(1)


def dictionary(pick):
    """Return a dictionary of Python or JSON, with or without oxidation states."""
    meant = {_ORDINARY[pick(83)]: Fraction(1 + pick(400), 1 + 9 * pick(2)) for _ in range(3)}
    charges = ["", "+", "3+", "2-"][pick(4)]
    text = str({f"{symbol}{charges}": float(amount) for symbol, amount in meant.items()})
    return Sample(text if pick(2) else text.replace("'", '"'), meant)


def joined(pick):
    """Return parts joined by a dot or star, to be added up."""
    parts = [_UNITS[pick(len(_UNITS))] for _ in range(2 + pick(2))]
    counts = [1 + pick(8) if pick(2) else 1 for _ in parts]
    joint = ["·", "*", " · ", ".", "."][pick(5)]
    meant = {}
    for (_, unit), count in zip(parts, counts, strict=True):
        for symbol, amount in unit.items():
            meant[symbol] = meant.get(symbol, 0) + Fraction(amount * count)
    texts = [f"{n if n > 1 else ''}{text}" for (text, _), n in zip(parts, counts, strict=True)]
    return Sample(joint.join(texts), meant, {"hydrates": "expand"})


def mixture(pick):
    """Return an alloy or a mixture of compounds; what is meant are atoms in percent."""
    kind = ("at", "wt", "mol")[pick(3)]
    joint = ("-", " ", " - ", "\N{EN DASH}")[pick(4)]
    names = [_METALS[(pick(3) + 4 * place) % 15] for place in range(2 + pick(2))]
    units = [(name, {name: 1}) for name in dict.fromkeys(names)]
    balance = len(units) > 1 and pick(2)
    if len(units) < 2 or not pick(3):
        units, balance = [_UNITS[pick(4)], _UNITS[4 + pick(4)]], 0
    shares = [1 + pick(30) for _ in units]
    if kind != "mol" or balance:
        shares[0] = 100 - sum(shares[1:])
    texts = [f"{share}{text}" for share, (text, _) in zip(shares, units, strict=True)]
    if balance:
        texts[0] = units[0][0]
    weights = load_elements().magpie[:, MAGPIE_PROPERTIES.index("AtomicWeight")]
    meant = {}
    for share, (_, unit) in zip(shares, units, strict=True):
        sizes = {
            "mol": 1,
            "at": sum(unit.values()),
            "wt": sum(n * float(weights[ATOMIC_NUMBERS[s]]) for s, n in unit.items()),
        }
        for symbol, amount in unit.items():
            meant[symbol] = meant.get(symbol, 0) + share * amount / sizes[kind]
    total = sum(meant.values())
    meant = {symbol: 100 * amount / total for symbol, amount in meant.items()}
    return Sample(joint.join(texts), meant, {"amounts": kind})


def mutated(pick, text):
    """Return a text with one to three characters inserted, deleted, replaced or exchanged."""
    for _ in range(1 + pick(3)):
        at = pick(len(text) + 1)
        character = _KEYBOARD[pick(len(_KEYBOARD))]
        match pick(5):
            case 0:
                text = text[:at] + character + text[at:]
            case 1:
                text = text[:at] + text[at + 1 :]
            case 2:
                text = text[:at] + character + text[at + 1 :]
            case 3:
                text = text[:at] + text[at : at + 1].swapcase() + text[at + 1 :]
            case _:
                text = text[:at] + text[at : at + 2][::-1] + text[at + 2 :]
    return text


NOTATIONS = (formula, dictionary, joined, mixture)
