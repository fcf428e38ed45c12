"""The registry of methods: facts, building by name, and what it loads."""

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from structure_toys import random_structure
from xtalshift.cal.adaptation import ADAPTATIONS
from xtalshift.errors import ConfigError, NotFoundError
from xtalshift.estimators import ConstantRegressor, TargetedCALRegressor
from xtalshift.featurize.blocks import needs_structures
from xtalshift.featurize.composition import composition_features
from xtalshift.methods import (
    METHODS,
    Method,
    MethodSettings,
    adapting_methods,
    build_method,
    features_of,
    register_method,
)
from xtalshift.methods.registry import Family, override
from xtalshift.methods.settings import LightGBMConfig
from xtalshift.structure import Structures

pytestmark = pytest.mark.usefixtures("few_corrections")

ROOT = Path(__file__).parents[3]
SETTINGS = MethodSettings.from_dict(
    {
        "device": "cpu",
        "threads": 2,
        "network": {"architecture": [16, 8], "clip": 7.0},
        "erm": {"epochs": 3, "batch_size": 16},
        "cal": {"epochs": 6, "warmup_epochs": 1, "batch_size": 16, "alpha": 0.3},
        "lightgbm": {"n_estimators": 30},
    }
)


OWN_EPOCHS = ("bilinear", "chgnet-frozen", "chgnet-finetune")


def rows(n=40, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    return X, 50 + 10 * (X[:, 0] + 0.5 * np.abs(X[:, 1]))


def crystals(n, seed=0):
    """Return rows of the block ``sites``."""
    pytest.importorskip("chgnet")
    rng = np.random.default_rng(seed)
    batch = Structures.join([random_structure(rng, 2) for _ in range(n)])
    found = composition_features(batch.compositions(), "sites", structures=batch)
    return found.values, np.arange(float(n))


def given(method, X, y):
    """Return what a method may see of the target domain."""
    seen = {"source": (), "features": ("X_target",), "labels": ("X_target", "y_target")}
    return {name: {"X_target": X, "y_target": y}[name] for name in seen[method.target_access]}


def quick(name, params=None):
    """Return the regressor of a method that is quick to fit."""
    model = build_method(name, SETTINGS, seed=4, params=params)
    if isinstance(model, TargetedCALRegressor):
        override(model, {"settings": {"steps": 4}})
    elif name == "residual-gp-tuned":
        override(model, {"estimator__settings": {"steps": 4}})
    elif name == "bilinear":
        override(model, {"epochs": 2, "steps": 3, "candidates": 9, "differences": 50})
    return model


def test_facts_are_complete_and_consistent():
    for name in METHODS:
        method = METHODS[name]
        assert method.summary, name
        assert method.summary == method.summary.strip(". "), name
        assert method.cost >= 0, name
        assert (method.control is None) == (method.family == "constant"), name
        assert method.family in get_args(Family), name
        if method.control:
            assert method.control in METHODS, name
            assert method.control != name
        if method.starts_from:
            assert METHODS[method.starts_from].target_access == "source"
        if method.family in {"target-only", "adaptation"}:
            expected = "features" if name.startswith("unlabelled") else "labels"
            assert method.target_access == expected
    # every chain of controls ends at a constant
    for name in METHODS:
        seen = [name]
        while (control := METHODS[seen[-1]].control) is not None:
            assert control not in seen, seen
            seen.append(control)
        assert METHODS[seen[-1]].family == "constant", seen


def test_controls_of_the_methods_of_the_publication():
    controls = {name: METHODS[name].control for name in ("cal", "targeted-cal", "ensemble", "cvar")}
    assert controls == {
        "cal": "cal-eps0", "targeted-cal": "targeted-cal-eps0", "ensemble": "erm", "cvar": "erm",
    }  # fmt: skip
    assert METHODS["targeted-cal-eps0"].control == "joint"


def test_adapt_offers_what_the_algorithm_of_adaptation_knows():
    assert set(adapting_methods()) == set(ADAPTATIONS)
    for name in ADAPTATIONS:
        labels = METHODS[name].target_access == "labels"
        assert ADAPTATIONS[name].uses_labels == labels, name


def test_facts_say_whose_loss_takes_bounds():
    for name in METHODS:
        method = METHODS[name]
        if name == "c-mixup":  # a network that mixes targets
            assert not method.bounds
            continue
        uses = build_method(name, SETTINGS, seed=0).uses
        assert method.bounds == ("bounds" in uses), name


# an attack on crystals needs them beside their features: tests/unit/estimators/test_cal_crystals.py
@pytest.mark.parametrize("name", [name for name in METHODS if not name.startswith("cal-crystal")])
def test_every_method_fits_what_it_may_see_and_can_be_tuned(name):
    method = METHODS[name]
    X, y = crystals(12) if needs_structures(features_of(name)) else rows()
    target = given(method, *rows(20, seed=1))
    found = quick(name).fit(X, y, **target).predict(X)
    assert found.shape == (len(y),)
    assert np.isfinite(found).all()
    for end in (1, 2):  # both ends of every range work
        chosen = {key: span[end] for key, span in method.space.items()}
        if "settings.steps" not in chosen and "estimator__settings.steps" not in chosen:
            model = quick(name, chosen).fit(X, y, **target)
            assert np.isfinite(model.predict(X)).all()
        else:
            build_method(name, SETTINGS, seed=4, params=chosen)


@pytest.mark.parametrize("name", list(METHODS))
def test_settings_and_seed_reach_the_regressor(name):
    params = build_method(name, SETTINGS, seed=4).get_params()
    assert params["random_state"] == 4
    for key, value in {"device": "cpu", "clip": 7.0, "threads": 2, "epochs": 3}.items():
        for path, found in params.items():
            if path.rpartition("__")[2] == key and name not in OWN_EPOCHS:
                assert found == value, path
    own = {"attention": "fractions"} | dict.fromkeys(OWN_EPOCHS[1:], "chgnet+sites")
    assert METHODS[name].features == own.get(name)


def test_constants_by_name():
    X, y = rows()
    held = {"X_val": X, "y_val": y}
    expected = {"dummy": y.mean(), "median": np.median(y), "train-max": y.max()}
    for name, value in {**expected, "train-min": y.min()}.items():
        model = build_method(name, SETTINGS, seed=0)
        assert isinstance(model, ConstantRegressor)
        np.testing.assert_allclose(model.fit(X, y, **held).predict(X), value)


def test_an_ensemble_has_five_members_or_as_many_as_told():
    assert build_method("ensemble", SETTINGS, seed=0).n_members == 5
    larger = MethodSettings.from_dict({"network": {"n_members": 7}})
    for name in ("ensemble", "cvar", "l2-sp"):
        assert build_method(name, larger, seed=0).n_members == 7
    for name in ("attention", "mc-dropout"):
        with pytest.raises(ConfigError, match=rf"'{name}'.*network\.n_members must be 1"):
            build_method(name, larger, seed=0)


def test_dropout_of_the_settings_reaches_networks_that_have_it():
    settings = MethodSettings.from_dict({"network": {"dropout": 0.2}})
    for name in ("erm", "attention", "cal", "coral", "fine-tune", "chi2"):
        assert build_method(name, settings, seed=0).dropout == 0.2
    assert build_method("attention", SETTINGS, seed=0).dropout == 0.1


def test_cal_by_name_is_the_default_preset_and_its_control_does_not_attack():
    settings = MethodSettings.from_dict({"cal": {"alpha": 0.3}})
    assert (settings.cal.preset, settings.cal.epochs, settings.cal.alpha) == ("cal", 80, 0.3)
    assert build_method("cal", settings, seed=0).settings["epsilon"] == 0.1
    control = build_method("cal-eps0", settings, seed=0)
    assert control.settings["epsilon"] == 0
    assert control.settings["alpha"] == 0.3


def test_cal_on_crystals_is_cal_with_another_attack():
    settings = MethodSettings.from_dict({"cal": {"alpha": 0.3, "epsilon": 0.2}})
    own = build_method("cal-crystal", settings, seed=0).settings
    plain = build_method("cal", settings, seed=0).settings
    assert {name for name in own if own[name] != plain[name]} == {
        "attack", "gamma_init", "resample_every",
    }  # fmt: skip
    assert (own["attack"], own["gamma_init"], own["alpha"]) == ("structure", 1e-3, 0.3)
    control = build_method("cal-crystal-eps0", settings, seed=0).settings
    assert control == {**own, "ball": "linf", "epsilon": 0.0}
    given = MethodSettings.from_dict({"cal": {"gamma_init": 0.5}})
    assert build_method("cal-crystal", given, seed=0).settings["gamma_init"] == 0.5
    paper = MethodSettings.from_dict({"cal": {"preset": "paper"}})
    assert build_method("cal-crystal", paper, seed=0).settings["attack_steps"] == 10
    assert build_method("cal-crystal", paper, seed=0).settings["attack"] == "structure"


def test_wasserstein_is_cal_with_fixed_weights():
    X, y = rows(60)
    model, cal = (build_method(name, SETTINGS, seed=0) for name in ("wasserstein", "cal"))
    assert model.settings == {**cal.settings, "weight_rule": "fixed"}
    start = cal.settings["weight_init"]
    assert bool((model.fit(X, y).extras_["weights"] == start).all())
    assert not bool((cal.fit(X, y).extras_["weights"] == start).all())


def test_wrapped_methods_by_name():
    assert build_method("classifier-ridge", SETTINGS, seed=5).ratio == "classifier"
    assert build_method("residual-gp-tuned", SETTINGS, seed=5).estimator.method == "fine-tune"
    fine_tuned = build_method("fine-tune", SETTINGS, seed=5)
    assert (fine_tuned.method, fine_tuned.source["epochs"]) == ("fine-tune", 3)


def test_wrong_settings_and_names_are_named():
    with pytest.raises(NotFoundError, match="did you mean 'ridge'"):
        build_method("rigde", SETTINGS, seed=0)
    with pytest.raises(ConfigError, match=r"erm\.epochs"):
        MethodSettings.from_dict({"erm": {"epochs": 0}})
    with pytest.raises(ConfigError, match="did you mean 'irnet3'"):
        MethodSettings.from_dict({"network": {"architecture": "irnet33"}})
    with pytest.raises(ConfigError, match=r"no argument 'alpha' \(did you mean 'alphas'"):
        build_method("ridge", SETTINGS, seed=0, params={"alpha": 1.0})


def test_a_method_of_the_users_own():
    try:
        register_method("own", summary="mine")(lambda settings, seed: ConstantRegressor("max"))
        assert (METHODS["own"].summary, METHODS["own"].module) == ("mine", __name__)
        assert METHODS["own"] == Method(METHODS["own"].build, summary="mine")
        with pytest.raises(ValueError, match="'own' is already registered"):
            register_method("own")(lambda settings, seed: ConstantRegressor())
        with pytest.raises(ValueError, match="'kl' is already registered"):
            register_method("kl")(lambda settings, seed: ConstantRegressor())
        with pytest.raises(TypeError, match="kind"):
            register_method("other", kind="mine")(lambda settings, seed: ConstantRegressor())
    finally:
        METHODS.remove("own")


def loaded_by(code):
    done = subprocess.run(
        [sys.executable, "-c", f"import json, sys\n{code}\nprint(json.dumps(list(sys.modules)))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_facts_load_neither_networks_nor_arrays():
    loaded = loaded_by("from xtalshift.methods import METHODS; METHODS['targeted-cal'].control")
    assert loaded & {"torch", "numpy", "sklearn", "pydantic", "pandas"} == set()


def test_training_a_network_loads_no_compiler():
    loaded = loaded_by(
        "import numpy as np\n"
        "from xtalshift.methods import MethodSettings, build_method\n"
        "X = np.random.default_rng(0).normal(size=(40, 3))\n"
        "quick = {'epochs': 2, 'warmup_epochs': 1}\n"
        "settings = MethodSettings.from_dict({'erm': {'epochs': 1}, 'cal': quick})\n"
        "for name in ('erm', 'cal', 'v-rex'):\n"
        "    build_method(name, settings, seed=0).fit(X, X[:, 0])"
    )
    assert "torch" in loaded
    assert loaded & {"torch._dynamo", "sympy"} == set()


def test_classical_methods_load_no_networks():
    loaded = loaded_by(
        "import numpy as np\n"
        "from xtalshift.estimators import PREDICTORS\n"
        "from xtalshift.methods import METHODS, MethodSettings, build_method\n"
        "from xtalshift.nn.device import limit_threads\n"
        "limit_threads(1)\n"
        "X = np.random.default_rng(0).normal(size=(40, 3)); y = X[:, 0]\n"
        "for name in METHODS:\n"
        "    if METHODS[name].family in {'constant', 'classical'}:\n"
        "        settings = MethodSettings.from_dict({'lightgbm': {'n_estimators': 9}})\n"
        "        model = build_method(name, settings, seed=0).fit(X, y)\n"
        "        model.predict(X)\n"
        "        PREDICTORS[type(model).__name__](**model.get_params())\n"
    )
    assert "sklearn" in loaded
    assert {name for name in loaded if name.partition(".")[0] in {"torch", "plotly"}} == set()


def test_a_limit_of_threads_reaches_networks_that_are_loaded_later():
    code = (
        "from xtalshift.nn.device import limit_threads, resolve_device\n"
        "limit_threads(3); resolve_device('cpu')\n"
        "import torch; assert torch.get_num_threads() == 3\n"
        "limit_threads(1); assert torch.get_num_threads() == 1"
    )
    assert "torch" in loaded_by(code)


def test_the_tables_of_the_docs_are_those_of_the_registry():
    spec = spec_from_file_location("method_table", ROOT / "tools" / "method_table.py")
    tool = module_from_spec(spec)
    spec.loader.exec_module(tool)
    page = tool.PAGE.read_text(encoding="utf-8")
    assert page == tool.render(page), "run: python tools/method_table.py"
    assert all(f"| `{name}`" in page for name in METHODS)


def test_auto_shows_a_support_vector_machine_more_rows_of_crystals():
    members = {one.name: one for one in build_method("auto", SETTINGS, seed=0).members}
    few, more = members["svr"], members["svr on more rows"]
    assert (few.needs, more.needs) == (frozenset(), {"structure"})
    assert few.regressor.max_rows == 3000
    assert (more.min_rows, more.regressor.max_rows) == (3001, 10_000)
    assert more.effort(9000) > 9 * few.effort(9000)  # left out first when time is short
    assert {"structure", "symmetry", "sevennet"} <= {*few.regressor.emphasis}
    assert more.regressor.emphasis == few.regressor.emphasis


def test_boosted_trees_of_a_stack_have_fewer_bins_than_alone():
    assert build_method("lightgbm", SETTINGS, seed=0).max_bin == 255
    for most, expected in ((255, 63), (31, 31)):
        settings = SETTINGS.model_copy(update={"lightgbm": LightGBMConfig(max_bin=most)})
        members = {one.name: one for one in build_method("auto", settings, seed=0).members}
        trees = members["lightgbm"], members["lightgbm-squared@asinh"]
        assert [one.regressor.max_bin for one in trees] == [expected, expected]
        assert [one.regressor.loss for one in trees] == ["absolute", "squared"]
