"""Hold-outs that imitate the step to candidates."""

import numpy as np
import pytest

from xtalshift.data import Dataset
from xtalshift.errors import SplitError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.splits.proxies import MIN_PROXY, Landscape, element_unlikeness, find_proxies

CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Al")
ANIONS = ("F", "Cl", "Br", "I", "O", "S", "Se")


def landscape(table, candidates, seed=0):
    """Return the landscape of two lists of formulas."""
    featurizer = CompositionFeaturizer("magpie", impute_nan=True)
    known, wanted = Dataset.of(table), Dataset.of(candidates)
    return Landscape.of(
        featurizer.transform(known.materials.compositions), known.groups,
        known.materials.compositions, featurizer.transform(wanted.materials.compositions),
        wanted.materials.compositions, seed=seed,
    )  # fmt: skip


@pytest.fixture
def table():
    """Return 168 salts."""
    return [f"{a}{n}{b}" for a in CATIONS for b in ANIONS for n in (2, 3)]


def test_a_new_element_is_imitated_by_those_that_resemble_it(table):
    found = landscape(table, [f"{a}2Te" for a in CATIONS])
    assert found.step.new_elements == ("Te",)
    assert found.step.themes == ("Te",)
    assert found.step.n_new == len(CATIONS)
    proxies = find_proxies(found, 8)
    elements = [one for one in proxies if one.name in {*CATIONS, *ANIONS}]
    assert elements[0].name == "Se"
    others = {one.name: one.unlikeness for one in find_proxies(found, names=["S", "I", "Ba"])}
    assert elements[0].unlikeness < others["I"] < others["Ba"]
    assert [table[row] for row in elements[0].rows] == [name for name in table if "Se" in name]
    assert elements[0].reason == "compounds with Se, which resembles Te"
    assert [one.unlikeness for one in proxies] == sorted(one.unlikeness for one in proxies)


def test_an_element_that_most_candidates_share_and_few_materials_have(table):
    found = landscape(table, [f"{a}4F" for a in CATIONS])
    assert found.step.themes == ("F",)
    proxy = next(one for one in find_proxies(found) if one.name == "F")
    assert proxy.reason == "compounds with F, which the candidates have in common"
    half = [name for name in table if "F" in name or "Cl" in name or "Br" in name]
    assert landscape(half, [f"{a}4F" for a in CATIONS]).step.themes == ()
    few = landscape([*table, "Li2Te"], [f"{a}2Te" for a in CATIONS])
    assert few.step.themes == ("Te",)
    assert few.step.new_elements == ()


def test_the_distance_ratio_is_that_of_nearest_neighbours(table):
    found = landscape(table, ["Au2Te", "Pt3Te"])
    scaled = found.points
    between = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    np.fill_diagonal(between, np.inf)
    usual = np.median(between.min(axis=1))
    away = np.linalg.norm(found.places[:, None] - scaled[None], axis=2).min(axis=1)
    assert found.step.distance_ratio == pytest.approx(np.median(away) / usual)
    assert found.step.distance_ratio > 1
    (proxy,) = find_proxies(found, names=["Li"])
    mask = np.zeros(len(table), dtype=bool)
    mask[proxy.rows] = True
    inside = mask[found.drawn]
    expected = np.median(between[inside][:, ~inside].min(axis=1)) / usual
    assert proxy.distance_ratio == pytest.approx(expected)


def test_proxies_hold_out_whole_formulas(table):
    doubled = [*table, *table]
    for proxy in find_proxies(landscape(doubled, ["Au2Te", "Pt3Te"]), 20):
        held = {doubled[row] for row in proxy.rows}
        assert len(proxy.rows) == 2 * len(held)
        assert len(proxy.rows) <= 0.4 * len(doubled)


def test_the_nearest_materials_are_those_around_the_candidates(table):
    (proxy,) = find_proxies(landscape(table, ["Li5Cl4", "Li7Cl6"]), names=["nearest"])
    assert len(proxy.rows) == len(table) // 10
    names = [table[row] for row in proxy.rows]
    assert "Li2Cl" in names
    assert not any("Ba" in name or "Cs" in name for name in names)


def test_the_same_seed_gives_the_same_proxies(table):
    first, again = (find_proxies(landscape(table, ["Au2Te"] * 3, seed=4)) for _ in range(2))
    assert [one.name for one in first] == [one.name for one in again]
    assert all(np.array_equal(a.rows, b.rows) for a, b in zip(first, again, strict=True))


def test_proxies_by_name_and_what_is_possible(table):
    found = landscape(table, ["Au2Te", "Pt3Te"])
    assert [one.name for one in find_proxies(found, names=["Se", "Li", "Se"])] == ["Se", "Li"]
    with pytest.raises(SplitError, match=r"no proxy 'Xe'.*this table offers"):
        find_proxies(found, names=["Xe"])


def test_rows_that_may_not_judge_do_not_make_a_proxy(table):
    judges = np.array(["Se" not in name for name in table])
    found = landscape(table, [f"{a}2Te" for a in CATIONS])
    assert "Se" not in {one.name for one in find_proxies(found, 20, judges=judges)}


def test_a_small_table_has_no_proxy():
    names = [f"{a}{n}{b}" for a in CATIONS[:2] for b in ANIONS[:2] for n in (2, 3)]
    with pytest.raises(SplitError, match=rf"8 materials; no hold-out of at least {MIN_PROXY}"):
        find_proxies(landscape(names, ["Au2Te"]))


def test_unlike_elements():
    assert element_unlikeness("Te", "Te") == 0
    order = sorted(["Se", "S", "O", "Cs"], key=lambda name: element_unlikeness(name, "Te"))
    assert order == ["Se", "S", "O", "Cs"]
    # chlorine to bromine: one row is 2/3, electronegativity 3.16 and 2.96 is 1/2
    assert element_unlikeness("Cl", "Br") == pytest.approx(np.hypot(1 / 1.5, 0.2 / 0.4))
