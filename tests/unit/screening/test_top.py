"""The best rows against pandas."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.top_list import slow_table
from xtalshift.data.transform import TargetTransform
from xtalshift.errors import ConfigError
from xtalshift.screening.settings import TopSettings
from xtalshift.screening.top import (
    TopTable,
    chances,
    choose,
    rank_rows,
    shortlist,
    top_frame,
    with_ranks,
)
from xtalshift.uncertainty.conformal import ScoreLaw
from xtalshift.uncertainty.predictive import PredictiveDistribution

N = 400


@pytest.fixture
def frame():
    rng = np.random.default_rng(3)
    prediction = rng.integers(0, 40, N).astype(float)  # many ties
    std = rng.choice([0.5, 1.0, 2.0], N)
    frame = pd.DataFrame(
        {
            "prediction": prediction,
            "lower": prediction - 2 * std,
            "upper": prediction + 2 * std,
            "std": std,
            "in_domain": rng.random(N) < 0.5,
            "ood_score": rng.random(N),
            "status": rng.choice(["ok", "ok", "error", "duplicate"], N),
        }
    )
    frame.loc[frame["status"] != "ok", ["prediction", "lower", "upper", "std"]] = np.nan
    frame.loc[::17, ["lower", "upper", "std"]] = [-np.inf, np.inf, np.inf]
    return frame


def columns_of(frame):
    return {name: frame[name].to_numpy() for name in frame.columns}


def best_rows(columns, top):
    return rank_rows(columns, top).rows[: top.k]


def listing(groups, top):
    """Return which of some rows are in the table."""
    return lambda left: left[shortlist(None if groups is None else groups[left], len(left), top)]


def pick(table, columns, top, first, floor=None):
    ranking = rank_rows(columns, top, floor)
    groups = table[top.diverse].to_numpy()[ranking.rows] if top.diverse else None
    refused = columns["refused"][ranking.rows] if "refused" in columns else None

    def admit(places):
        return np.ones(len(places), bool) if refused is None else ~refused[places]

    chosen = choose(listing(groups, top), len(ranking.rows), admit)
    return with_ranks(table, ranking.take(chosen), first)


@pytest.mark.parametrize("lowest", [False, True])
@pytest.mark.parametrize("by", ["prediction", "lower", "upper", "uncertainty"])
def test_against_pandas(frame, by, lowest):
    values = frame["std" if by == "uncertainty" else by].replace([np.inf, -np.inf], np.nan).dropna()
    wanted = values.nsmallest(50) if lowest else values.nlargest(50)  # keep="first"
    top = TopSettings(k=50, by=by, lowest=lowest)
    assert best_rows(columns_of(frame), top).tolist() == wanted.index.tolist()


@pytest.mark.parametrize("lowest", [False, True])
def test_rows_are_ranked_by_their_probability_and_then_by_their_distance(frame, lowest):
    rng = np.random.default_rng(0)
    law = ScoreLaw.of(np.abs(rng.normal(size=19)))
    center = rng.normal(35, 3, N)  # so that many are certain as far as 19 rows can tell
    width = rng.choice([0.5, 1.0, 2.0], N)
    plain = PredictiveDistribution(
        TargetTransform(), center, center, center, width, (law,), np.zeros(N, int), np.ones(N)
    )
    found = SimpleNamespace(distribution=plain, probability=plain.probability)
    top = TopSettings(k=150, by="probability", threshold=35, lowest=lowest)
    columns = {**columns_of(frame), **chances(found, top)}
    usable = np.flatnonzero(frame["status"] == "ok")
    # with one law of scores the distance in widths has the order of the probability
    distance = (center - 35) / width * (-1 if lowest else 1)
    wanted = usable[np.argsort(-distance[usable], kind="stable")[:150]]
    assert best_rows(columns, top).tolist() == wanted.tolist()
    table = TopTable(top)
    for start in (200, 0):
        part = slice(start, start + 200)
        chunk = pa.table(frame.iloc[part].reset_index(drop=True))
        table.add(pick(chunk, {name: values[part] for name, values in columns.items()}, top, start))
    written = top_frame(table.table, top).to_pandas()
    assert (written["input_row"] - 1).tolist() == wanted.tolist()
    probability = plain.probability(below=35) if lowest else plain.probability(above=35)
    np.testing.assert_array_equal(written["probability"], probability[wanted])
    assert (written["probability"] == 1 - 1 / 40).sum() > 20
    assert written.columns.tolist()[:3] == ["rank", "input_row", "probability"]
    assert not any(name.startswith("xtalshift:") for name in written.columns)


def test_rows_without_a_distribution_have_no_chance():
    top = TopSettings(k=3, by="probability", threshold=1.0)
    found = SimpleNamespace(distribution=None, prediction=np.full(2, np.nan))
    assert all(np.isnan(values).all() for values in chances(found, top).values())
    assert chances(found, TopSettings(k=3)) == {}


def test_rows_outside_the_domain_do_not_count(frame):
    top = TopSettings(k=N, in_domain=True, max_ood=0.5)
    inside = frame[(frame["status"] == "ok") & frame["in_domain"] & (frame["ood_score"] <= 0.5)]
    found = best_rows(columns_of(frame), top)
    assert sorted(found) == inside.index.tolist()
    assert frame.loc[found, "prediction"].is_monotonic_decreasing


@pytest.mark.parametrize("order", ["in order", "backwards", "twice"])
@pytest.mark.parametrize("k", [1, 30, 1000])
def test_chunks_give_the_best_of_all(frame, k, order):
    top = TopSettings(k=k)
    frame["name"] = [f"row {number}" for number in range(N)]
    starts = list(range(0, N, 70))
    starts = {"in order": starts, "backwards": starts[::-1], "twice": starts + starts}[order]
    table = TopTable(top)
    for start in starts:
        chunk = frame.iloc[start : start + 70]
        table.add(pick(pa.table(chunk.reset_index(drop=True)), columns_of(chunk), top, start))
    found = top_frame(table.table, top).to_pandas()
    wanted = frame["prediction"].dropna().sort_values(ascending=False, kind="stable")[:k]
    assert found["name"].tolist() == frame.loc[wanted.index, "name"].tolist()
    assert found["input_row"].tolist() == (wanted.index + 1).tolist()
    assert found["rank"].tolist() == list(range(1, len(wanted) + 1))


def test_add_says_whether_anything_changed(frame):
    top = TopSettings(k=5)
    columns = columns_of(frame)
    best = pick(pa.table(frame), columns, top, 0)
    table = TopTable(top)
    assert table.add(best)
    assert not table.add(best)
    assert not table.add(best.slice(0, 0))
    worse = pick(pa.table(frame), {**columns, "prediction": columns["prediction"] - 99}, top, N)
    assert not table.add(worse)


ROWS = st.tuples(
    st.one_of(st.none(), st.integers(0, 6).map(float)),
    st.sampled_from(["oxide", "halide", "nitride", "carbide"]),
    st.booleans(),
)


@given(
    st.lists(ROWS, max_size=60),
    st.integers(1, 12),
    st.sampled_from([None, 1, 2, 3]),
    st.integers(1, 61),
    st.booleans(),
)
def test_blocks_of_any_size_give_the_list_of_all_rows(rows, k, per_group, size, use_floor):
    diverse = {} if per_group is None else {"diverse": "family", "per_group": per_group}
    top = TopSettings.from_dict({"k": k, **diverse})
    keys = np.array([np.nan if key is None else key for key, _, _ in rows])
    groups = np.array([group for _, group, _ in rows], dtype=object)
    refused = np.array([not admitted for _, _, admitted in rows], dtype=bool)
    table = TopTable(top)
    for start in range(0, max(len(rows), 1), size):
        part = slice(start, start + size)
        columns = {
            "prediction": keys[part],
            "status": np.full(len(keys[part]), "ok", dtype=object),
            "refused": refused[part],
        }
        chunk = pa.table({"family": pa.array(groups[part].tolist(), pa.string())})
        table.add(pick(chunk, columns, top, start, table.floor if use_floor else None))
    wanted = slow_table(
        [(key, 0.0, group, admitted) for key, group, admitted in rows], k, per_group
    )
    assert (table.table["input_row"].to_numpy() - 1).tolist() == wanted


def test_only_rows_that_would_enter_are_looked_at():
    groups = np.array(list("aaabbbcc"), dtype=object)
    asked = []

    def admit(places):
        asked.append(places.tolist())
        return ~np.isin(places, [0, 3, 4, 5])

    top = TopSettings(k=2, diverse="family")
    # the best of a and b are refused, then those of b twice more
    assert choose(listing(groups, top), 8, admit).tolist() == [1, 6]
    assert asked == [[0, 3], [1, 4], [5], [6]]
    asked.clear()
    assert choose(listing(None, TopSettings(k=2)), 8, admit).tolist() == [1, 2]
    assert asked == [[0, 1], [2]]


def test_shortlist_counts_better_rows_of_the_group_and_of_all():
    groups = np.array(list("abacab"), dtype=object)
    top = TopSettings(k=3, diverse="chemsys", per_group=2)
    assert shortlist(groups, 6, top).tolist() == [0, 1, 2]
    assert shortlist(groups, 6, top.model_copy(update={"k": 9})).tolist() == [0, 1, 2, 3, 5]
    assert shortlist(groups[:0], 0, top).tolist() == []


def test_the_floor_is_the_last_row_of_a_full_table(frame):
    top = TopSettings(k=5)
    table = TopTable(top)
    assert table.floor is None
    columns = columns_of(frame)
    table.add(pick(pa.table(frame), columns, top, 0))
    assert table.floor.key == table.table["prediction"][-1].as_py() == 38.0
    assert TopTable(TopSettings(k=1000), table.table).floor is None
    # equal rows that come later cannot enter
    assert rank_rows(columns, top, table.floor).keys.tolist() == [39.0, 39.0]
    best = rank_rows(columns, top).rows
    assert rank_rows(columns, top, table.floor).rows.tolist() == best[:2].tolist()


@pytest.mark.parametrize(
    "values",
    [{"k": 1, "per_group": 2}, {"k": 0}, {"k": 1, "by": "probability"}, {"k": 1, "threshold": 2.0}],
)
def test_settings_that_contradict_each_other(values):
    with pytest.raises(ConfigError):
        TopSettings.from_dict(values)
