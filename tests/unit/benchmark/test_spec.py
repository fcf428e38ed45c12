"""Specifications: what is refused, and with which words."""

import pytest

from xtalshift.benchmark.plugins import load_plugins, read_plugins
from xtalshift.benchmark.spec import (
    BenchmarkData,
    BenchmarkSpec,
    canonical_specs,
    read_spec,
)
from xtalshift.data.catalog import get_entry
from xtalshift.errors import ConfigError, NotFoundError
from xtalshift.methods import METHODS

BASE = {"data": {"a": {}}, "splits": {"s": {"scheme": "prior"}}, "methods": ["ridge"]}

FIGURE = {"data": "a", "split": "s", "method": "CrabNet", "mae": 0.3, "source": "their page"}


@pytest.mark.parametrize("name", canonical_specs())
def test_every_benchmark_of_the_package_is_valid(name):
    assert canonical_specs()[name]  # its title
    values, _ = read_spec(name)
    spec = BenchmarkSpec.from_dict(values).check_methods()
    assert spec.methods[0].method == "dummy"
    assert BenchmarkSpec.from_dict(spec.to_dict()) == spec


def test_ricci_shifts_is_what_it_promises():
    spec = BenchmarkSpec.from_dict(read_spec("ricci-shifts")[0])
    assert len(spec.methods) >= 20
    assert len(spec.splits) == 4
    assert spec.seeds == 3
    assert spec.data["ricci_seebeck"].sample == 8000


def test_methods_are_read_from_text():
    spec = BenchmarkSpec.from_dict(
        {**BASE, "methods": ["ridge@fractions", {"name": "dummy"}, {"name": "x", "method": "gp"}]}
    )
    found = [(one.name, one.method, one.features) for one in spec.methods]
    assert found == [
        ("ridge@fractions", "ridge", "fractions"),
        ("dummy", "dummy", None),
        ("x", "gp", None),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["ridge@magpi"]}, "did you mean 'magpie'"),
        ({"features": ["magpi"]}, "did you mean 'magpie'"),
        ({"methods": []}, "methods"),
        ({"data": {}}, "data"),
        ({"data": {"a": {"features": "magpi"}}}, "did you mean 'magpie'"),
        ({"splits": {"s": {"scheme": "priorr"}}}, "did you mean 'prior'"),
        (
            {"splits": {"s": {"scheme": "prior", "data": ["b"]}}},
            "the table 'b', which does not exist",
        ),
        ({"budgets": [0]}, "at least 1"),
        ({"published": [FIGURE | {"data": "b"}]}, "error of 'CrabNet' is for b/s, which does not"),
        ({"published": [FIGURE | {"split": "t"}]}, "is for a/t, which does not exist"),
        ({"splits": {"s": {"scheme": "prior", "budgets": [-5]}}}, "at least 1"),
        ({"budgts": [1]}, "did you mean 'budgets'"),
    ],
)
def test_wrong_settings_are_named(changes, message):
    with pytest.raises((ConfigError, NotFoundError), match=message):
        BenchmarkSpec.from_dict({**BASE, **changes})


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("rigde", "did you mean 'ridge'"),
        ("fine-tune", "uses target labels, but there are no budgets"),
        ("attention@magpie", "needs features fractions, not magpie"),
        ("chgnet-frozen@chgnet", r"needs features chgnet\+sites, not chgnet"),
    ],
)
def test_methods_that_do_not_fit_are_named(method, message):
    with pytest.raises((ConfigError, NotFoundError), match=message):
        BenchmarkSpec.from_dict({**BASE, "methods": [method]}).check_methods()


def test_the_folder_of_tables(monkeypatch):
    data = BenchmarkData(dataset="$XTALSHIFT_DATA/matex/x.parquet")
    monkeypatch.delenv("XTALSHIFT_DATA", raising=False)
    with pytest.raises(
        ConfigError, match="the environment variable XTALSHIFT_DATA, which is not set"
    ):
        data.resolve()
    monkeypatch.setenv("XTALSHIFT_DATA", "/tables/")
    assert data.resolve().dataset == "/tables/matex/x.parquet"
    assert BenchmarkData(dataset="ricci_seebeck").resolve().dataset == "ricci_seebeck"


def test_the_catalogue_stands_for_a_folder_that_is_not_there(monkeypatch):
    data = BenchmarkData(dataset="$XTALSHIFT_DATA/x.parquet", catalogue="matbench_expt_gap")
    monkeypatch.setenv("XTALSHIFT_DATA", "/tables")
    assert data.resolve().dataset == "/tables/x.parquet"
    monkeypatch.delenv("XTALSHIFT_DATA")
    assert data.resolve().dataset == "matbench_expt_gap"


def test_matbench_is_what_it_promises():
    spec = BenchmarkSpec.from_dict(read_spec("matbench-composition")[0])
    rows = {"expt_gap": 4604, "dielectric": 4764, "log_gvrh": 10987}
    rows |= {"mp_gap": 106113, "mp_e_form": 132752}
    assert {name: get_entry(one.catalogue).n_rows for name, one in spec.data.items()} == rows
    assert all(one.duplicates == "keep" and one.strict for one in spec.data.values())
    (split,) = spec.splits.values()
    assert (split.scheme, split.params) == (
        "kfold", {"n_folds": 5, "random_state": 18012019, "whole_formulas": False},
    )  # fmt: skip
    crabnet = {one.data: one.mae for one in spec.published if one.method == "CrabNet"}
    assert crabnet == {
        "expt_gap": 0.3463, "dielectric": 0.3234, "log_gvrh": 0.1014, "mp_gap": 0.2655,
        "mp_e_form": 0.0862,
    }  # fmt: skip


def test_some_tables_of_a_benchmark():
    splits = {
        "s": {"scheme": "prior"},
        "two": {"scheme": "random", "data": ["a", "b"]},
        "other": {"scheme": "random", "data": ["b"]},
    }
    spec = BenchmarkSpec.from_dict(
        {**BASE, "data": {"a": {}, "b": {}, "c": {}}, "splits": splits,
         "published": [FIGURE, FIGURE | {"data": "b", "split": "other"}]}
    )  # fmt: skip
    some = spec.only(["c", "a"])
    assert list(some.data) == ["a", "c"]
    assert {name: one.data for name, one in some.splits.items()} == {"s": (), "two": ("a",)}
    assert [one.data for one in some.published] == ["a"]
    assert BenchmarkSpec.from_dict(some.to_dict()) == some
    with pytest.raises(ConfigError, match=r"no table 'd'.* it has a, b, c"):
        spec.only(["d"])
    only_b = spec.model_copy(update={"splits": {"other": spec.splits["other"]}})
    with pytest.raises(ConfigError, match="no split of the benchmark applies to c"):
        only_b.only(["c"])


def test_an_unknown_benchmark_is_named(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'ricci-shifts'"):
        read_spec("ricci-shift")
    with pytest.raises(ConfigError, match="cannot read"):
        read_spec(str(tmp_path / "missing.toml"))


def test_plugins_run_once_and_say_what_is_wrong(tmp_path):
    (tmp_path / "good.py").write_text(
        "from xtalshift.estimators import ConstantRegressor\n"
        "from xtalshift.methods import register_method\n"
        "@register_method('from-a-plugin')\n"
        "def build(settings, seed):\n"
        "    return ConstantRegressor('median')\n"
    )
    (tmp_path / "bad.py").write_text("import not_there_at_all\n")
    sources = read_plugins(("good.py",), tmp_path)
    try:
        load_plugins(sources)
        load_plugins(sources)
        assert METHODS["from-a-plugin"].build(None, None).statistic == "median"
        edited = {"good.py": sources["good.py"].replace("median", "max")}
        load_plugins(edited)
        assert METHODS["from-a-plugin"].build(None, None).statistic == "max"
    finally:
        METHODS._items.pop("from-a-plugin", None)
    with pytest.raises(ConfigError, match=r"plugin bad\.py failed: ModuleNotFoundError"):
        load_plugins(read_plugins(("bad.py",), tmp_path))
    with pytest.raises(ConfigError, match="cannot read the plugin"):
        read_plugins(("missing.py",), tmp_path)
