"""Tables of real formulas in every notation of docs/input.md, with the truth about each row.

A made text is a `Cell`: what is meant by it, and whether it must be read as that, must be refused,
or may be either. Nothing here asks the package how a text is to be read.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from xtalshift.chem.elements import ATOMIC_NUMBERS, MAGPIE_PROPERTIES, load_elements

READ, REFUSED, EITHER = "must be read", "must be refused", "may be either"
REMARKED = "must be refused, or read with a remark"

_WEIGHTS = load_elements().magpie[:, MAGPIE_PROPERTIES.index("AtomicWeight")]
_SUBSCRIPTS = str.maketrans("0123456789.", "₀₁₂₃₄₅₆₇₈₉.")
_WIDE = str.maketrans({chr(33 + k): chr(0xFF01 + k) for k in range(94)})
_SALTS = "CuSO4 CoCl2 MgSO4 Na2CO3 CaCl2 FeSO4 Zn(NO3)2 Na2SO4 NiCl2 CaSO4".split()  # noqa: SIM905
_OXIDES = "CaO Al2O3 SiO2 Na2O K2O MgO Li2O P2O5 B2O3 ZrO2 BaO".split()  # noqa: SIM905
_METALS = "Fe Cr Ni Mo Mn Co Al Ti V Cu Nb Zr Mg Zn".split()  # noqa: SIM905
_ZEROS = [
    "Ti02", "Al203", "CaTi03", "V205", "W03", "Zn0", "Si02", "H2S04", "K2C03", "MgAl204", "Bi203",
    "Li2C03", "Ca(0H)2", "Na0H", "TiO02", "LiFeP04", "Fe203", "BaTi03", "Cr203", "Y203",
]  # fmt: skip
_REFUSED = {
    "capitals": [
        "AL2O3", "NACL", "MGO", "fe2o3", "Sio2", "LICOO2", "LiCOO2", "TIO2", "BATIO3", "PBTE",
    ],
    "l of Cl": ["NaC1", "CaC12", "TiCI4", "MgC12"],
    "O for 0": ["LiO.5CoO2", "In0.8GaO.2As"],
    "labels": [
        "α-Fe2O3", "TiO2 (anatase)", "TiO2_rutile", "NaCl(s)", "2H-MoS2", "TiO2-anatase", "wz-GaN",
        "c-ZrO2", "SiC 4H", "TiO2 (P42/mnm)", "NaCl I", "TiO2 II", "NaCl_2", "K2MnCl6_1", "mp-149",
        "Si_bulk", "Fe2O3[a]", "H2O(l)", "γ-Al2O3", "β Ga2O3", "GaN (wurtzite)", "Fe2O3 sample 3",
    ],
    "dopants": ["SrAl2O4:Eu2+,Dy3+", "In2O3:Sn", "ZnS:Mn", "a-Si:H", "YAG:Ce", "Y2O3:Eu"],
    "abbreviations": [
        "MAPbI3", "Cu(OAc)2", "FeCp2", "YBCO", "ITO", "FAPbI3", "PEA2PbI4", "Zn(acac)2", "LnBO3",
        "MOF-5", "Cu-BTC", "CsFAPbI3", "ABO3", "PZT",
    ],
    "variables": [
        "YBa2Cu3O7-δ", "La2-xSrxCuO4", "La2-xSrxCuO4 (x=0.15)", "(1-x)PbTiO3-xBaTiO3", "Fe1+xTe",
        "La1-xSrxMnO3", "YBa2Cu3O7-d", "FeSe1-xTex, x=0.5", "Na2CO3·nH2O", "LixCoO2", "TiO2-x",
    ],
    "several": ["(Ba,Sr)TiO3", "Bi2Te3/Sb2Te3", "Dy3N@C80", "Pt/C", "Na2O:2SiO2", "Fe2O3, Al2O3"],
    "charges": [
        "Fe3+", "SO4^2-", "Fe(III)2O3", "Fe³⁺", "SO4-2", "Fe^{3+}", "Cu(I)2O", "FeIIICl3", "Na+",
        "[Ni(NH3)6]+2[PtCl6]-2", "Fe2^{3+}O3",
    ],
    "other letters": ["СaO", "Fe2О3", "ВaO", "Νa2O"],
    "dates and numbers": ["Feb-02", "2-Feb", "1E5", "12.5", "2020-01-02", "3", "1e-5", "01.02.03"],
    "words": ["Hematite", "SS316", "Inconel 718", "unknown element", "water", "see text", "TRUE"],
    "blanks": ["", "n/a", "-", "nan", "None", "NULL", "?", " ", "#N/A", "#REF!"],
    "clutter": ["Fe2O3.", "Fe2O3;", "Fe2O3*", "Fe2O3 (1)", "F e2O3", "Fe 2O3", "=FeO", "Fe(OH"],
    "dictionaries": [
        "{'Fe': '2'}", "{Fe: 2}", "{'fe': 2}", "{'Fe': -1}", "{'Fe': nan}", "{'Fe': 2, 'Fe': 3}",
        "{'@class': 'Composition', 'Fe': 2}", "{}",
    ],
    "dots": ["V2O5.1.6H2O", "CuSO4..5H2O", "CoCl2 x 6H2O", "SrTiO3.nH2O"],
    "parts": ["Cu-Zn", "Fe-Ni", "Fe 70Ni30", "Na2O-2SiO2"],
}  # fmt: skip
_SPECIAL = {
    "NaN": {"Na": 1, "N": 1}, "Na": {"Na": 1}, "No": {"No": 1}, "InF": {"In": 1, "F": 1},
    "InF3": {"In": 1, "F": 3}, "NO2": {"N": 1, "O": 2}, "D2O": {"H": 2, "O": 1},
    "HTO": {"H": 2, "O": 1}, "Al 6061": {"Al": 1}, "Ti 64": {"Ti": 1}, "CO": {"C": 1, "O": 1},
    "BN": {"B": 1, "N": 1}, "KCN": {"K": 1, "C": 1, "N": 1}, "UO2": {"U": 1, "O": 2},
    "CsPb(I)3": {"Cs": 1, "Pb": 1, "I": 3}, "Fe.947O": {"Fe": 0.947, "O": 1},
    "Mg.9Fe.1SiO3": {"Mg": 0.9, "Fe": 0.1, "Si": 1, "O": 3}, "H2O.5": {"H": 2, "O": 0.5},
    "SrTiO2.98": {"Sr": 1, "Ti": 1, "O": 2.98}, "CaBi 2": {"Ca": 1, "Bi": 2},
    "Fe 70 Cr 20 Ni 10": {"Fe": 70, "Cr": 20, "Ni": 10}, "C60": {"C": 60},
    "Li 1.2 Mn 0.8 O 2": {"Li": 1.2, "Mn": 0.8, "O": 2}, "AlSi10Mg": {"Al": 1, "Si": 10, "Mg": 1},
    "Pb(Mg1/3Nb2/3)O3": {"Pb": 1, "Mg": 1 / 3, "Nb": 2 / 3, "O": 3},
    "Al0.3CoCrFeNi": {"Al": 0.3, "Co": 1, "Cr": 1, "Fe": 1, "Ni": 1},
    "Ca10(PO4)6(OH)2": {"Ca": 10, "P": 6, "O": 26, "H": 2}, "FeFe2O4": {"Fe": 3, "O": 4},
    "(TiO2)0.8(SiO2)0.2": {"Ti": 0.8, "Si": 0.2, "O": 2}, "Y": {"Y": 1}, "W": {"W": 1},
    "LaFeAsO.9F.1": {"La": 1, "Fe": 1, "As": 1, "O": 0.9, "F": 0.1},
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A text, what is meant by it (None: nothing that could be read), and what must happen."""

    kind: str
    text: object
    meant: object
    fate: str = READ


@dataclass
class Table:
    """A table of n rows as it is written to a file."""

    name: str
    options: dict
    """Options of reading."""
    formulas: list[Cell]
    numbers: list[Cell]
    torn: set[int] = field(default_factory=set)
    """Rows whose line is not rectangular: they must be refused."""

    def __len__(self) -> int:
        return len(self.formulas)

    @property
    def ids(self) -> list[str]:
        """One name for each row."""
        return [f"r{row:06d}" for row in range(len(self))]


def atoms(formula: str) -> dict[str, float]:
    """Return the amounts of a formula of symbols, whole numbers and brackets."""
    stack: list[dict[str, float]] = [{}]
    for symbol, opening, number in re.findall(r"(?:([A-Z][a-z]?)|(\()|\))([0-9.]*)", formula):
        if opening:
            stack.append({})
        else:
            unit = {symbol: 1.0} if symbol else stack.pop()
            _add(stack[-1], unit, float(number or 1))
    return stack[0]


def _add(total: dict[str, float], unit: dict[str, float], times: float) -> dict[str, float]:
    for symbol, amount in unit.items():
        total[symbol] = total.get(symbol, 0) + times * amount
    return total


def fractions(meant: dict[str, float]) -> dict[str, float]:
    """Return amounts as shares of 1."""
    total = sum(meant.values())
    return {symbol: amount / total for symbol, amount in meant.items() if amount}


def _digits(amount: float) -> str:
    return "" if amount == 1 else np.format_float_positional(amount, trim="-")


class FormulaMaker:
    """Draws formulas; `hydrates` and `amounts` are the options of the table they are for."""

    def __init__(self, rng, real, hydrates="refuse", amounts=None):
        self.rng, self.real, self.amounts = rng, real, amounts
        self.expand = hydrates == "expand"
        self.notations = [
            self.subscripts, self.tags, self.latex, self.braces, self.roman, self.wide,
            self.spaced, self.invisible, self.decimals, self.points, self.commas, self.exponents,
            self.quotes, self.json, self.charged, self.nulls, self.brackets, self.zero,
            self.hydrate, self.dotted, self.joined, self.alloy, self.told, self.mixture,
            self.special, self.zeros, self.refused, self.refused, self.refused,
            self.spaced_hydrate, self.water_fraction, self.sum_of_two, self.zero_inside,
        ]  # fmt: skip

    def draw(self) -> Cell:
        """Return a formula: half of them are as the data set has them."""
        if self.rng.random() < 0.5:
            text, meant = self.base()
            return Cell("plain", text, meant)
        return self.notations[self.rng.integers(len(self.notations))]()

    def pick(self, choices):
        """Return one of several."""
        return choices[self.rng.integers(len(choices))]

    def base(self):
        """Return a formula of the data set and its amounts."""
        return self.pick(self.real)

    def flat(self, mark=lambda number: number, times=1.0):
        """Return a formula without brackets, its numbers written by `mark`, and its amounts."""
        meant = {s: a * times for s, a in self.base()[1].items()}
        return "".join(s + mark(_digits(a)) if a != 1 else s for s, a in meant.items()), meant

    def subscripts(self):
        return Cell("subscripts", *self.flat(lambda n: n.translate(_SUBSCRIPTS)))

    def tags(self):
        return Cell("HTML", *self.flat(lambda n: f"<sub>{n}</sub>"))

    def latex(self):
        return Cell("LaTeX", *self.flat(lambda n: f"$_{{{n}}}$" if len(n) > 1 else f"$_{n}$"))

    def braces(self):
        return Cell("braces", *self.flat(lambda n: f"_{{{n}}}"))

    def roman(self):
        text, meant = self.flat(lambda n: f"_{{{n}}}")
        return Cell("mathrm", rf"$\mathrm{{{text}}}$", meant)

    def wide(self):
        text, meant = self.base()
        return Cell("full width", text.translate(_WIDE), meant)

    def spaced(self):
        meant = self.base()[1]
        gap = self.pick([" ", "\u00a0", "\u2009"])
        text = gap.join(f"{s}{gap}{_digits(a)}" if a != 1 else s for s, a in meant.items())
        # a lone number behind the last element only, as in "Ca Bi 2", is fine too
        return Cell("spaces", text, meant, EITHER if "1" in map(_digits, meant.values()) else READ)

    def invisible(self):
        text, meant = self.base()
        return Cell("zero width", self.pick(["\u200b", "\u00ad", "\ufeff"]).join(text), meant)

    def decimals(self):
        return Cell("decimals", *self.flat(times=self.rng.integers(11, 40) / 64))

    def points(self):
        meant = {s: self.rng.integers(25, 100) / 100 for s in self.base()[1]}
        text = "".join(s + _digits(a).removeprefix("0") for s, a in meant.items())
        return Cell("point without zero", text, meant, EITHER)

    def commas(self):
        meant = {s: self.rng.integers(1, 400) / 100 for s in self.base()[1]}
        meant["O"] = 0.25
        text = "".join(s + _digits(a).replace(".", ",") for s, a in meant.items())
        return Cell("decimal commas", text, meant)

    def exponents(self):
        symbols = list(self.base()[1])
        meant = dict.fromkeys(symbols, 0.05) | {symbols[-1]: 1.5}
        text = "".join(s + self.pick(["5E-02", "5e-2"]) for s in symbols[:-1]) + symbols[-1] + "1.5"
        return Cell("exponents", text, meant)

    def quotes(self):
        meant = self.base()[1]
        return Cell(
            "dictionary", str({s: self.pick([int, float])(a) for s, a in meant.items()}), meant
        )

    def json(self):
        meant = self.base()[1]
        return Cell("JSON", json.dumps(meant), meant)

    def charged(self):
        meant = self.base()[1]
        marks = ["3+", "2-", "0+", "+", "-", "2.5+"]
        return Cell("species", str({s + self.pick(marks): a for s, a in meant.items()}), meant)

    def nulls(self):
        meant = self.base()[1]
        absent = {s: None for s in ("Xe", "Rn") if s not in meant}
        return Cell("null", json.dumps({**meant, **absent}), meant)

    def brackets(self):
        (left, one), (right, two) = self.base(), self.base()
        a, b = self.rng.integers(2, 7, 2).tolist()
        opening, closing = self.pick(["()", "[]", "{}"])
        meant = _add(_add({}, one, a), two, b)
        return Cell("brackets", f"({left}){a}{opening}{right}{closing}{b}", meant)

    def zero(self):
        text, meant = self.flat()
        gone = self.pick([s for s in ("Xe", "Sb", "Yb") if s not in meant])
        return Cell("amount 0", f"{text}{gone}0.0", meant)

    def _water(self, text, meant):
        return _add(dict(atoms(text)), {"H": 2, "O": 1}, meant)

    def hydrate(self):
        salt, n = self.pick(_SALTS), int(self.rng.integers(1, 13))
        dot = self.pick(["·", "•", "⋅", "∙", "*", " · ", "・", "‧"])
        text = f"{salt}{dot}{n if n > 1 else ''}H2O"
        return Cell("hydrate", text, self._water(salt, n), READ if self.expand else REFUSED)

    def water_fraction(self):
        salt = self.pick(_SALTS)
        text = self.pick([f"{salt}·1/2H2O", f"{salt}·½H2O", f"{salt}.1/2H2O", f"{salt}·0.5H2O"])
        return Cell("half a water", text, self._water(salt, 0.5), READ if self.expand else REFUSED)

    def dotted(self):
        salt, n = self.pick(_SALTS), int(self.rng.integers(2, 13))
        text = f"{salt}.{n}H2O"
        return Cell("dot", text, self._water(salt, n), READ if self.expand else REFUSED)

    def joined(self):
        one, two = self.rng.choice(_OXIDES, 2, replace=False).tolist()
        a, b = (int(n) for n in self.rng.integers(1, 7, 2))
        meant = _add(_add({}, atoms(one), a), atoms(two), b)
        text = f"{a if a > 1 else ''}{one}.{b if b > 1 else ''}{two}"
        return Cell("joint", text, meant, READ if self.expand else REFUSED)

    def spaced_hydrate(self):
        return Cell("hydrate with a space", f"{self.pick(_SALTS)} {self.rng.integers(2, 13)}H2O",
                    None, REFUSED)  # fmt: skip

    def _shares(self, units, shares, amounts):
        """Return the composition of units of which shares of weight, atoms or moles are given."""
        meant: dict[str, float] = {}
        for unit, share in zip(units, shares, strict=True):
            size = 1.0
            if amounts == "wt":
                size = sum(_WEIGHTS[ATOMIC_NUMBERS[s]] * n for s, n in unit.items())
            elif amounts == "at":
                size = sum(unit.values())
            _add(meant, unit, share / size)
        return meant

    def alloy(self):
        metals = self.rng.choice(_METALS, int(self.rng.integers(2, 5)), replace=False).tolist()
        parts = [int(n) for n in self.rng.integers(2, 20, len(metals) - 1)]
        gap = self.pick(["-", " "])
        text = metals[0] + "".join(f"{gap}{n}{m}" for n, m in zip(parts, metals[1:], strict=True))
        units = [{metal: 1} for metal in metals]
        meant = self._shares(units, [100 - sum(parts), *parts], self.amounts)
        return Cell("alloy", text, meant, READ if self.amounts else REFUSED)

    def told(self):
        metals = self.rng.choice(_METALS, 3, replace=False).tolist()
        a, b = (int(n) for n in self.rng.integers(2, 20, 2))
        unit = self.pick(["wt", "at"])
        text = self.pick([
            f"{metals[0]}-{a}{unit}%{metals[1]}-{b}{unit}%{metals[2]}",
            f"{metals[0]}-{a}{metals[1]}-{b}{metals[2]} ({unit}%)",
            f"{metals[0]}-{a}{unit}.%{metals[1]}-{b}{unit}.%{metals[2]}",
        ])  # fmt: skip
        meant = self._shares([{m: 1} for m in metals], [100 - a - b, a, b], unit)
        return Cell("alloy that says it", text, meant, EITHER)

    def mixture(self):
        one, two = self.rng.choice(_OXIDES, 2, replace=False).tolist()
        a = int(self.rng.integers(5, 96))
        text = self.pick([f"{a}{one}-{100 - a}{two}", f"{a}{one} {100 - a}{two}",
                          f"0.{a:02d}{one}-0.{100 - a:02d}{two}"])  # fmt: skip
        meant = self._shares([atoms(one), atoms(two)], [a, 100 - a], self.amounts)
        return Cell("mixture", text, meant, READ if self.amounts else REFUSED)

    def sum_of_two(self):
        one, two = self.rng.choice(_OXIDES, 2, replace=False).tolist()
        meant = _add(atoms(one), atoms(two), 1)
        return Cell("sum", f"{one} + {two}", meant, READ if self.amounts == "mol" else REFUSED)

    def special(self):
        text = self.pick(list(_SPECIAL))
        return Cell("special", text, _SPECIAL[text])

    def zeros(self):
        return Cell("zero for O", self.pick(_ZEROS), None, REFUSED)

    def zero_inside(self):
        text, meant = self.flat()
        number = _digits(meant.get("O", 1))
        if len(number) == 1 and text[0] != "O":
            return Cell("zero for O", text.replace(f"O{number}", f"0{number}"), None, REMARKED)
        return self.zeros()

    def refused(self):
        kind = self.pick(list(_REFUSED))
        text = self.pick(_REFUSED[kind])
        if text == "Na2O-2SiO2" and self.amounts in ("wt", "at"):  # the first part is the balance
            return self.refused()
        return Cell(kind, text, None, REFUSED)


class NumberMaker:
    """Draws numbers; `decimal` and `thousands` are the marks of the table they are for."""

    def __init__(self, rng, decimal=".", thousands="", unit=""):
        self.rng, self.decimal, self.thousands, self.unit = rng, decimal, thousands, unit
        self.other = "," if decimal == "." else "."

    def draw(self) -> Cell:
        """Return a number: most are digits and a decimal mark, with two or three decimals."""
        value = round(float(self.rng.normal(0, 200)), int(self.rng.integers(1, 3)))
        if self.rng.random() < 0.7:
            return Cell("plain", self.write(value), value)
        return self.odd(value)

    def write(self, value, mark=None):
        """Return a number with a decimal mark."""
        return np.format_float_positional(value, trim="-").replace(".", mark or self.decimal)

    def odd(self, value):
        shown, size = self.write(value), abs(value)
        large = float(np.sign(value) or 1) * round(1000 + size, 2)
        whole, cents = f"{large:.2f}".split(".")
        grouped = re.sub(r"(?<=\d)(?=(\d{3})+$)", "{}", whole)
        decimal = self.decimal
        exact = self.write(size)
        choices = [
            ("U+2212", shown.replace("-", "\u2212"), value, READ),
            ("dash", shown.replace("-", "\u2013"), value, READ),
            ("plus", f"+{exact}", size, READ),
            ("spaces", f" {shown}\u00a0", value, READ),
            ("exponent", f"{value:.6e}".replace(".", decimal), float(f"{value:.6e}"), READ),
            ("Excel's exponent", f"{value:.3E}".replace(".", decimal), float(f"{value:.3E}"),
             EITHER),
            ("power", f"{value / 100:.3f}×10^2".replace(".", decimal),
             float(f"{value / 100:.3f}e2"), EITHER),
            ("no leading zero", f"{decimal}{int(size) % 90 + 10}", (int(size) % 90 + 10) / 100,
             READ),
            ("no decimals", f"{int(size)}{decimal}", float(int(size)), EITHER),
            ("uncertainty", f"{shown} ± {self.write(1.5)}", value, READ),
            ("uncertainty in brackets", f"{shown}(3)", value, READ if decimal in shown else EITHER),
            ("approximate", f"~{exact}", size, READ),
            ("unit", f"{shown} uV/K", value, EITHER), ("unit", f"{shown} µV/K", value, EITHER),
            ("another unit", f"{shown} mV/K", None, REFUSED),
            ("another unit", f"{shown} K", None, REFUSED),
            ("percent", f"{shown}%", None, REFUSED), ("percent", f"{shown} %", None, REFUSED),
            ("bound", f"<{exact}", None, REFUSED), ("bound", f"> {exact}", None, REFUSED),
            ("bound", f"≤{exact}", None, REFUSED), ("bound", f"{exact}+", None, REFUSED),
            ("range", f"{exact}-{self.write(size + 5.5)}", None, REFUSED),
            ("range", f"{exact} to {self.write(size + 5.5)}", None, REFUSED),
            ("range", f"{exact}–{self.write(size + 5.5)}", None, REFUSED),
            ("several", f"{exact}/{self.write(size + 5.5)}", None, REFUSED),
            ("several", f"{exact}; {self.write(size + 5.5)}", None, REFUSED),
            ("sentinel", "-9999", None, REFUSED), ("sentinel", "-99999", None, REFUSED),
            ("other mark", self.write(value, self.other), value, EITHER),
            ("thousands", grouped.format(*[self.other] * 3) + decimal + cents, large, EITHER),
            ("thousands", grouped.format(*[" "] * 3) + decimal + cents, large, EITHER),
            ("thousands", grouped.format(*["\u202f"] * 3) + decimal + cents, large, EITHER),
            ("thousands", grouped.format(*["'"] * 3) + decimal + cents, large, EITHER),
            ("date", self.rng.choice(["2020-01-02", "12-Feb", "1/2/2020", "12:30"]), None, REFUSED),
            ("word", self.rng.choice(
                ["n.d.", "see text", "true", "TRUE", "1_000", "0x10", "1d5", "#DIV/0!", "#REF!",
                 "12 34 56", "1..5", "1e", "e5", "--5", "5-", "1.2.3.4", "1,2,3,4", "NaCl"]),
             None, REFUSED),
            ("infinite", self.rng.choice(["inf", "-Infinity", "∞", "1e999"]), None, REFUSED),
            ("blank", self.rng.choice(
                ["", "n/a", "-", "nan", "NULL", "None", "?", " ", "#N/A", "—", "NA"]),
             None, REFUSED),
        ]  # fmt: skip
        kind, text, meant, fate = choices[self.rng.integers(len(choices))]
        # a whole number with another mark says nothing else than the number
        fate = READ if kind == "other mark" and self.other not in text else fate
        return Cell(kind, str(text), meant, fate)


LAYOUTS = {
    "comma": {}, "comma, torn": {"torn": True}, "semicolon, sep=, BOM": {"decimal": ","},
    "tab, UTF-16, unit row": {}, "GBK": {}, "cp1252, title": {"decimal": ",", "encoding": "cp1252"},
    "pipe, comments": {"decimal": ","}, "gzip, CR LF": {"torn": True}, "xlsx": {}, "parquet": {},
    "JSON lines": {}, "expand": {"hydrates": "expand"}, "wt": {"amounts": "wt", "decimal": ","},
    "at": {"amounts": "at"}, "mol": {"amounts": "mol", "hydrates": "expand"},
}  # fmt: skip
"""The tables, with the marks of their numbers and the options of reading."""


def make_table(name: str, rows: int, real, rng) -> Table:
    """Draw the rows of one of `LAYOUTS`; `real` lists formulas and their amounts."""
    facts = LAYOUTS[name]
    notation = {key: facts[key] for key in ("hydrates", "amounts") if key in facts}
    # with half signs beside letters the encoding is not clear, and must be told
    options = notation | {key: facts[key] for key in ("encoding",) if key in facts}
    formulas = FormulaMaker(rng, real, **notation)
    numbers = NumberMaker(rng, facts.get("decimal", "."))
    encoding = _FORMATS[name][1] if name in _FORMATS else "utf-8"

    def draw(maker):
        while True:
            cell = maker.draw()
            if cell.text.encode(encoding, "replace").decode(encoding) == cell.text:
                return cell

    table = Table(
        name, options, [draw(formulas) for _ in range(rows)], [draw(numbers) for _ in range(rows)]
    )
    if facts.get("torn"):
        table.torn = set(np.flatnonzero(rng.random(rows) < 0.01).tolist())
    return table


def write_table(table: Table, folder):
    """Write a table into a folder and return the file."""
    kind = table.name
    columns = {
        "id": table.ids,
        "formula": [cell.text for cell in table.formulas],
        "S (uV/K)": [cell.text for cell in table.numbers],
    }
    stem = folder / re.sub(r"\W+", "_", kind)
    if kind == "xlsx":
        frame = pd.DataFrame(columns)
        plain = [c.meant if c.kind == "plain" else c.text for c in table.numbers]
        frame["S (uV/K)"] = pd.Series(plain, dtype=object)
        frame.to_excel(path := stem.with_suffix(".xlsx"), index=False)
        return path
    if kind == "parquet":
        pd.DataFrame(columns).to_parquet(path := stem.with_suffix(".parquet"))
        return path
    if kind == "JSON lines":
        lines = []
        for row in zip(*columns.values(), strict=True):
            record = dict(zip(columns, row, strict=True))
            cell = table.formulas[int(row[0][1:])]
            if cell.kind in ("JSON", "null"):
                record["formula"] = json.loads(record["formula"])
            lines.append(json.dumps(record))
        path = stem.with_suffix(".jsonl")
        path.write_text("\n".join(lines))
        return path
    return _write_text(table, columns, stem)


_FORMATS = {
    "semicolon, sep=, BOM": (";", "utf-8-sig", ["sep=;"]),
    "tab, UTF-16, unit row": ("\t", "utf-16", []),
    "GBK": (",", "gbk", []),
    "cp1252, title": (";", "cp1252", ["Messung von Größen, Köln", ""]),
    "pipe, comments": ("|", "utf-8", ["# made by hand", "# thermopower; first series"]),
    "wt": (";", "utf-8", []),
}
"""Separator, encoding and the lines above the header."""


def _write_text(table, columns, stem):
    kind = table.name
    separator, encoding, above = _FORMATS.get(kind, (",", "utf-8", []))
    end = "\r\n" if "CR LF" in kind else "\n"
    header = list(columns)
    if kind == "GBK":
        header[1] = "化学式"
    elif "unit row" in kind:
        header[2] = "S"
    out = io.StringIO()
    for line in above:
        out.write(line + end)
    writer = csv.writer(out, delimiter=separator, lineterminator=end)
    writer.writerow(header)
    if kind == "tab, UTF-16, unit row":
        writer.writerow(["", "", "uV/K"])
    for row, cells in enumerate(zip(*columns.values(), strict=True)):
        if row not in table.torn:
            writer.writerow(cells)
        elif row % 2:  # a comma too many
            out.write(f"{cells[0]},(Ba,Sr)TiO3,{cells[2].replace(',', '')}{end}")
        else:  # a quote that nothing closes, and a line that says less
            out.write(f'{cells[0]},"(Ba,Sr)TiO3{end}')
    content = out.getvalue().encode(encoding)
    path = stem.with_suffix(".csv")
    if kind == "gzip, CR LF":
        path = path.with_name(path.name + ".gz")
        content = gzip.compress(content)
    path.write_bytes(content)
    return path
