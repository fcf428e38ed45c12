"""Rules on compositions: known compounds, a slow reference, and what is said about wrong rules."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtalshift.chem.composition_rules import match_rule
from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import ELEMENT_CLASSES, SYMBOLS
from xtalshift.chem.families import FAMILIES
from xtalshift.errors import SplitError

FORMULAS = [
    "LaF3",  # 0
    "LaOF",  # 1
    "NaF",  # 2
    "Fe2O3",  # 3
    "MoS2",  # 4
    "PbSO4",  # 5
    "Bi2Se3",  # 6
    "LiFePO4",  # 7
    "not a formula",  # 8
    "Si",  # 9
    "NaLiF2",  # 10
]
COMPOSITIONS = parse_formulas(FORMULAS)[0]


def matches(rule):
    return match_rule(rule, COMPOSITIONS).nonzero()[0].tolist()


class TestKnown:
    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            ("F", [0, 1, 2, 10]),  # not Fe
            ("F and rare_earth", [0, 1]),
            ("F+O", [1]),
            (" Li + Fe ", [7]),
            ("Li+O or S", [4, 5, 7]),
            ("not Li+O", [0, 1, 2, 3, 4, 5, 6, 9, 10]),
            ("(S or Se) and not O", [4, 6]),
            ("S or Se and not O", [4, 5, 6]),
            ("S | Se & not F", [4, 5, 6]),
            ("S||Se", [4, 5, 6]),
            ("O > 0.5", [3, 5, 7]),
            ("O >= 0.6", [3, 5]),
            ("O == 0.6", [3]),
            ("O != 0.6 and O", [1, 5, 7]),
            ("0.1 < F <= 0.5", [1, 2, 10]),
            ("0.5 <= F", [0, 2, 10]),
            ("Na < F", [0, 1, 10]),
            ("alkali_metal == 0.5", [2, 10]),
            ("O == 0", [0, 2, 4, 6, 9, 10]),
            ("1e-3 < Li < 1.5e-1", [7]),
            ("n_elements >= 4", [7]),
            ("n elements == 1", [9]),
            ("2 < n_elements != 4", [1, 5, 10]),
            ("transition_metal and halogen", []),
            ("transition_metal", [3, 4, 7]),
            ("lanthanide\n  and halogen", [0, 1]),
            ("family == oxide", [3, 5, 7]),
            ("family == 'oxide'", [3, 5, 7]),
            ("family != oxide", [0, 1, 2, 4, 6, 9, 10]),
            ("not family == oxide and not F", [4, 6, 9]),
            ("not F", [3, 4, 5, 6, 7, 9]),
            ("U", []),  # of no row: no error
            ("U > 0.5 or actinide", []),
        ],
    )
    def test_rows(self, rule, expected):
        assert matches(rule) == expected

    @pytest.mark.parametrize(
        "rule",
        ["rare_earth", "rare earth", "rare-earth", "Rare  Earth", "(rare\tearth)", "rare_-earth"],
    )
    def test_spellings(self, rule):
        assert matches(rule) == [0, 1]

    def test_a_longer_class_wins(self):
        assert matches("post-transition metal") == [5, 6]
        assert matches("post transition metal and not transition metal") == [5, 6]

    @pytest.mark.parametrize("rule", ["Li == 0.3", "halogen >= 0.3", "Li <= 0.3"])
    def test_fractional_amounts_are_compared_as_decimals(self, rule):
        compositions = parse_formulas(["Li0.3Cl0.1F0.2Br0.4", "Li0.3Na0.4F0.1Cl0.2"])[0]
        assert match_rule(rule, compositions).all()

    def test_no_rows(self):
        found = match_rule("F and O > 0.1 and family == oxide", parse_formulas([])[0])
        assert found.tolist() == []
        assert found.dtype == np.bool_


class TestClasses:
    @pytest.mark.parametrize("name", ELEMENT_CLASSES)
    def test_members(self, name):
        members = ELEMENT_CLASSES[name]
        assert len(set(members)) == len(members)
        elements = parse_formulas(SYMBOLS[1:])[0]
        found = match_rule(name, elements)
        assert {SYMBOLS[place + 1] for place in np.flatnonzero(found)} == set(members)

    def test_every_element_is_metal_metalloid_or_nonmetal(self):
        three = [ELEMENT_CLASSES[name] for name in ("metal", "metalloid", "nonmetal")]
        assert sum(map(len, three)) == 118
        assert set().union(*three) == set(SYMBOLS[1:])

    def test_sizes_and_ends(self):
        assert {name: len(members) for name, members in ELEMENT_CLASSES.items()} == {
            "rare_earth": 17,
            "lanthanide": 15,
            "actinide": 15,
            "alkali_metal": 6,
            "alkaline_earth": 6,
            "transition_metal": 40,
            "post_transition_metal": 11,
            "metalloid": 7,
            "halogen": 6,
            "chalcogen": 6,
            "pnictogen": 6,
            "noble_gas": 7,
            "metal": 91,
            "nonmetal": 20,
        }
        ends = {name: (members[0], members[-1]) for name, members in ELEMENT_CLASSES.items()}
        assert ends["lanthanide"] == ("La", "Lu")
        assert ends["actinide"] == ("Ac", "Lr")
        assert ends["transition_metal"] == ("Sc", "Cn")
        assert {"La", "Ac"}.isdisjoint(ELEMENT_CLASSES["transition_metal"])
        assert {"Lu", "Lr", "Zn", "Y", "Hf", "Rf"} <= set(ELEMENT_CLASSES["transition_metal"])


NAMES = st.sampled_from([*SYMBOLS[1:20], *ELEMENT_CLASSES])
LEVELS = st.sampled_from(["0", "0.25", "0.5", "1"])
COMPARISONS = {"<": operator.lt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne}
LEAVES = st.one_of(
    st.tuples(st.just("has"), NAMES),
    st.tuples(st.sampled_from(sorted(COMPARISONS)), NAMES, LEVELS),
    st.tuples(st.just("family"), st.sampled_from(list(FAMILIES))),
)
RULES = st.recursive(
    LEAVES,
    lambda part: (
        st.tuples(st.sampled_from(["and", "or"]), part, part) | st.tuples(st.just("not"), part)
    ),
    max_leaves=6,
)
ROWS = st.lists(
    st.dictionaries(st.sampled_from(SYMBOLS[1:30]), st.integers(1, 4), min_size=1, max_size=4),
    max_size=6,
)


def write(rule):
    match rule:
        case ("has", name):
            return name
        case ("family", name):
            return f"family == {name}"
        case ("not", part):
            return f"not ({write(part)})"
        case ("and" | "or" as joint, left, right):
            return f"({write(left)}) {joint} ({write(right)})"
        case (sign, name, level):
            return f"{name} {sign} {level}"


def slow(rule, row):
    match rule:
        case ("has", name):
            return bool(set(row) & set(ELEMENT_CLASSES.get(name, [name])))
        case ("family", name):
            first = next((f for f, own in FAMILIES.items() if set(own) & set(row)), "intermetallic")
            return first == name
        case ("not", part):
            return not slow(part, row)
        case ("and", left, right):
            return slow(left, row) and slow(right, row)
        case ("or", left, right):
            return slow(left, row) or slow(right, row)
        case (sign, name, level):
            members = ELEMENT_CLASSES.get(name, [name])
            share = sum(n for symbol, n in row.items() if symbol in members) / sum(row.values())
            return COMPARISONS[sign](share, float(level))


@given(rule=RULES, rows=ROWS)
def test_slow_reference(rule, rows):
    formulas = ["".join(f"{s}{n}" for s, n in row.items()) for row in rows]
    found = match_rule(write(rule), parse_formulas(formulas)[0])
    assert found.tolist() == [slow(rule, row) for row in rows]


class TestWrongRules:
    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            (
                "Fl0",
                r"rule 'Fl0': unknown element or class 'Fl0' \(did you mean 'Fl'\?\)\. Use symbols",
            ),
            ("li", r"unknown element or class 'li' \(did you mean 'Li'"),
            ("F and as", r"unknown element or class 'as' \(did you mean 'As'"),
            ("F AND O", r"unknown element or class 'AND' \(did you mean 'and'"),
            ("rare earths", r"unknown element or class 'rare_earths' \(did you mean 'rare_earth'"),
            ("halogens", r"did you mean 'halogen'\?.*classes rare_earth, .*n_elements and family"),
            ("qqqqqq", r"unknown element or class 'qqqqqq'\. Use symbols"),
            ("F in O", "unknown element or class 'in'"),
            ("", "rule '' is empty; write one such as: F and rare_earth"),
            (" \n", "is empty"),
            ("O+", r"rule 'O\+' cannot be read to its end; join parts by and, or, not"),
            ("F and", "cannot be read to its end"),
            ("Li O", "rule 'Li O' cannot be read at 'O'"),
            ("O = 0.5", "cannot be read at '= 0.5'"),
            ("F)", r"cannot be read at '\)'"),
            ("(F and O", r"cannot be read at '\(F and O'"),
            ("F\\", r"has a '\\\\'; write one such as"),
            ("F[0]", r"has a '\['"),
            ("lambda: F", "has a ':'"),
            ("F(O)", r"'F\(O\)' is not a condition; write one such as"),
            ("F.O", "'F.O' is not a condition"),
            ("F - O", "'F - O' is not a condition"),
            ("0.5", "'0.5' is not a condition"),
            ("not 'oxide'", "\"'oxide'\" is not a condition"),
            ("O > 0.5and F", "'0.5and' is not a number such as 0.5"),
            ("O > 50", "'O > 50' compares an atomic fraction, which lies between 0 and 1"),
            ("3 > halogen", "which lies between 0 and 1"),
            ("O > 1e400", "which lies between 0 and 1"),
            ("1 < 2", "'1 < 2' compares no element, class or n_elements"),
            ("F + O > 0.5", r"'F \+ O' cannot be compared; compare one element, class or"),
            ("F > family", "'family' cannot be compared"),
            ("F > 'oxide'", "\"'oxide'\" cannot be compared"),
            ("O > (F or S)", "'F or S' cannot be compared"),
            ("n_elements", "'n_elements' needs a comparison, such as n_elements >= 4"),
            ("F and family", "'family' needs a comparison, such as family == oxide"),
            ("oxide and F", "'oxide' needs a comparison, such as family == oxide"),
            ("family == oxyde", "did you mean 'oxide'"),
            ("family == O", "unknown family 'O'"),
            ("family > oxide", "is not a condition on the family; write family == oxide or"),
            ("family == oxide == F", "is not a condition on the family"),
            ("family == 3", "is not a condition on the family"),
            ("not " * 5000 + "F", "nested too deeply"),
            ("F+" * 5000 + "F", "nested too deeply"),
            ("not " * 100_000 + "F", "cannot be read|nested too deeply"),
            ("(" * 500 + "F" + ")" * 500, "cannot be read"),
        ],
        ids=lambda text: text[:20],
    )
    def test_messages(self, rule, message):
        with pytest.raises(SplitError, match=message):
            matches(rule)

    @given(rule=st.text(max_size=12) | st.text(alphabet="FOLi +-()<>=!&|.05'\"andor", max_size=25))
    def test_any_text_is_a_rule_or_a_split_error(self, rule):
        try:
            found = match_rule(rule, COMPOSITIONS)
        except SplitError:
            return
        assert found.shape == (len(FORMULAS),)
        assert found.dtype == np.bool_
        assert not found[8]  # an invalid formula matches no rule
