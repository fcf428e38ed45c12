"""Task ids depend on content only, and on all of it."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest

from benchmark_toys import make_fold, make_problem, make_shared
from encoder_toys import write_toy_encoder
from xtalshift.benchmark import tasks
from xtalshift.benchmark.problem import ChoiceRows, Shared
from xtalshift.benchmark.tasks import plan_tasks
from xtalshift.errors import ConfigError
from xtalshift.methods import METHODS, Method


def ids(spec, shared):
    return {(t.name, t.budget, t.fold): t.id for t in plan_tasks(spec, shared)}


def test_every_combination_is_one_task(spec, shared):
    planned = plan_tasks(spec(), shared)
    # dummy and ridge once per seed, the method with labels once per budget too
    assert len(planned) == 2 * (1 + 1 + 2)
    assert len({task.id for task in planned}) == len(planned)
    assert [t.budget for t in planned if t.name == "target-ridge"] == [10, 20, 10, 20]
    assert [t.fold.split("/")[-1] for t in planned] == ["0"] * 4 + ["1"] * 4


def test_the_longest_tasks_of_a_seed_come_first(spec, shared):
    planned = plan_tasks(spec(["dummy", "ridge", "cal", "lightgbm", "erm"]), shared)
    order = ["cal", "erm", "lightgbm", "ridge", "dummy"]
    assert [task.name for task in planned] == order * 2
    assert [shared.folds[task.fold].seed for task in planned] == [0] * 5 + [1] * 5


def test_ids_are_the_same_in_every_process(spec, shared):
    # raise ID_VERSION where this has to change
    first = plan_tasks(spec(["dummy"]), shared)[0]
    assert first.id == plan_tasks(spec(["dummy"]), make_shared())[0].id
    assert len(first.id) == 16
    assert int(first.id, 16) >= 0


def test_the_arguments_of_a_stack_are_the_same_text_in_every_process():
    code = """
import json, sys
from types import SimpleNamespace
from xtalshift.benchmark.spec import MethodEntry
from xtalshift.benchmark.tasks import _arguments
from xtalshift.methods import MethodSettings, build_method

problem = SimpleNamespace(build=build_method)
context = SimpleNamespace(settings=MethodSettings(threads=int(sys.argv[1])), minutes=None)
entries = [MethodEntry(name=one, method=one) for one in ("auto", "adapt-auto")]
found = [_arguments(one, problem, context) for one in entries]
print(json.dumps(found, sort_keys=True, default=repr))
"""
    texts = {
        subprocess.run(
            [sys.executable, "-c", code, threads],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, threads in (("1", "1"), ("2", "1"), ("3", "2"))
    }
    (text,) = texts
    assert '"without": ["fractions", "magpie"]' in text
    assert " at 0x" not in text


def test_a_setting_of_a_member_changes_the_id_of_a_stack(spec, shared):
    before = ids(spec(["auto"]), shared)
    after = ids(spec(["auto"], lightgbm={"num_leaves": 20}), shared)
    assert not set(before.values()) & set(after.values()) - set(
        ids(spec(["dummy"]), shared).values()
    )


def test_other_methods_and_seeds_do_not_change_an_id(spec, shared):
    few = ids(spec(["ridge"]), shared)
    many = ids(spec(["extra-trees", "ridge", "target-ridge"], seeds=1), make_shared(seeds=1))
    assert few["ridge", 0, "toy/shift/0/0"] == many["ridge", 0, "toy/shift/0/0"]
    # nor a title, the number of threads, or the name in tables
    renamed = [{"name": "least squares", "method": "ridge"}]
    other = ids(spec(renamed, title="x", threads=4), shared)
    key = ("least squares", 0, "toy/shift/0/0")
    assert other[key] == few["ridge", 0, "toy/shift/0/0"]


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"clip": 3.0}},
        {"tuning": {"trials": 5}},
        {"methods": [{"name": "ridge", "params": {"alphas": [0.1]}}]},
    ],
    ids=["settings", "tuning", "params"],
)
def test_what_changes_the_numbers_changes_the_id(spec, shared, changes):
    before = ids(spec(["ridge"]), shared)
    values = {"methods": ["ridge"], **changes}
    after = ids(spec(values.pop("methods"), **values), shared)
    assert not set(before.values()) & {v for k, v in after.items() if k[0] == "ridge"}


def test_minutes_change_the_ids_of_stacks_alone(spec, shared):
    before, after = (ids(spec(["ridge", "auto"], minutes=n), shared) for n in (None, 2.0))
    given = ids(spec(["ridge", {"name": "auto", "params": {"minutes": 2.0}}]), shared)
    assert after == given
    same = {key for key in before if before[key] == after[key]}
    assert {name for name, *_ in same} == {"dummy", "ridge"}
    assert {name for name, *_ in before.keys() - same} == {"auto"}


def test_rows_that_choose_change_the_ids_of_the_fold_that_is_judged(spec, shared):
    before = ids(spec(["ridge"]), shared)
    key = "toy/shift/0/0"
    rows = shared.folds[key].val
    choices = (ChoiceRows(key, rows), ChoiceRows(key, rows, 5, 3), ChoiceRows(key, rows[1:]))
    found = [ids(spec(["ridge"]), replace(shared, choice=one)) for one in choices]
    assert len({each["ridge", 0, key] for each in (before, *found)}) == 4
    assert {each["ridge", 0, "toy/shift/0/1"] for each in found} == {
        before["ridge", 0, "toy/shift/0/1"]
    }


def test_settings_of_other_methods_do_not_change_an_id(spec, shared):
    before, after = (ids(spec(["ridge"], erm={"epochs": n}), shared) for n in (2, 3))
    assert before == after


def test_two_methods_of_one_name_are_refused(spec, shared):
    names = ["ridge", {"name": "ridge@fractions", "method": "gp", "features": "fractions"}]
    with pytest.raises(ConfigError, match="two methods have the name 'ridge@fractions'"):
        plan_tasks(spec(names, features=["magpie", "fractions"]), shared)
    with pytest.raises(ConfigError, match="two methods have the name 'dummy'"):
        plan_tasks(spec([{"name": "dummy", "method": "median"}]), shared)


def test_columns_that_are_features_change_an_id(spec, shared):
    before = ids(spec(["ridge"]), shared)
    other = replace(shared, problems={"toy": make_problem(feature_cols=["pressure"])})
    assert not set(before.values()) & set(ids(spec(["ridge"]), other).values())
    same = replace(shared, problems={"toy": make_problem(unit="meV")})
    assert before == ids(spec(["ridge"]), same)


def test_the_encoder_of_a_table_changes_the_id_of_what_uses_it(spec, shared, tmp_path):
    write_toy_encoder(tmp_path)
    wanted = spec(["ridge", "ridge@fractions+pretrained"])
    before = ids(wanted, shared)
    other = replace(make_problem(), encoder=str(tmp_path))
    after = ids(wanted, replace(shared, problems={"toy": other}))
    changed = {name for name in before if before[name] != after[name]}
    assert {name for name, _, _ in changed} == {"ridge@fractions+pretrained"}


def test_a_function_with_fixed_arguments_is_told_by_its_own_module(monkeypatch):
    def build(settings, seed):
        return None

    build.__module__ = "xtalshift_plugin_abc.part"
    monkeypatch.setitem(METHODS._items, "fixed", Method(partial(partial(build), None)))
    assert tasks._source("fixed") == "xtalshift_plugin_abc"
    assert tasks._source("fine-tune") == tasks._source("ridge") == ""
    build.__module__ = "typed_in"
    assert tasks._source("fixed") == "typed_in"


def test_other_rows_change_the_id(spec):
    fold = make_fold()
    other = replace(fold, train=fold.val, val=fold.train)
    plans = [
        ids(spec(["ridge"]), Shared({"toy": make_problem()}, {one.key: one}, {}))
        for one in (fold, other)
    ]
    assert plans[0].keys() == plans[1].keys()
    assert not set(plans[0].values()) & set(plans[1].values())


def test_several_features_are_told_apart(spec, shared):
    planned = plan_tasks(
        spec(["ridge", "lightgbm@fractions"], features=["magpie", "fractions"]), shared
    )
    names = {(task.name, task.features) for task in planned if task.method != "dummy"}
    assert names == {
        ("ridge@magpie", "magpie"),
        ("ridge@fractions", "fractions"),
        ("lightgbm@fractions", "fractions"),
    }
