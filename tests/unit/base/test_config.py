from typing import Literal

import pytest
from pydantic import Field, ValidationError

from xtalshift.config import Settings, parse_assignment, set_nested
from xtalshift.errors import ConfigError
from xtalshift.jobs.run_settings import RunConfig


class Inner(Settings):
    share: float = Field(default=0.2, gt=0, lt=1)
    names: tuple[str, ...] = ("a",)
    unit: str | None = None


class Outer(Settings):
    epochs: int = 3
    kind: Literal["slow", "fast"] = "slow"
    inner: Inner = Inner()


def test_toml_round_trip(tmp_path):
    settings = Outer(epochs=7, inner=Inner(share=0.1, names=("x", 'q"\n')))
    path = tmp_path / "settings.toml"
    path.write_text(settings.to_toml(), encoding="utf-8")
    assert Outer.from_toml(path) == settings
    assert settings.to_dict() == {
        "epochs": 7,
        "kind": "slow",
        "inner": {"share": 0.1, "names": ["x", 'q"\n']},
    }


def test_the_settings_of_a_run_survive_toml(tmp_path):
    config = RunConfig.from_dict(
        {"n_seeds": 2, "methods": ["ridge"], "split": {"family": "Li+O", "relation_file": "é.csv"}}
    )
    path = tmp_path / "run.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert RunConfig.from_toml(path) == config
    assert list(config.seeds) == [0, 1]


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Outer().epochs = 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 1}, r"^unknown setting 'epoch' \(did you mean 'epochs'\?\)$"),
        ({"inner": {"shares": 1}}, r"^unknown setting 'inner.shares' \(did you mean 'share'\?\)$"),
        ({"inner": {"qqq": 1}}, r"^unknown setting 'inner.qqq', known: share, names, unit$"),
        ({"epochs": "many"}, r"^setting 'epochs' = 'many': Input should be a valid integer"),
        ({"epochs": 2.5}, r"^setting 'epochs' = 2.5: Input should be a valid integer"),
        ({"kind": "quick"}, r"^setting 'kind' = 'quick': Input should be 'slow' or 'fast'$"),
        ({"inner": {"share": 1}}, r"^setting 'inner.share' = 1: Input should be less than 1$"),
        ({"inner": 3}, r"^setting 'inner' = 3: "),
        ({"inner": {"names": [1]}}, r"^setting 'inner.names.0' = 1: Input should be a valid str"),
    ],
)
def test_wrong_settings_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        Outer.from_dict(values)


def test_every_fault_is_named_at_once():
    with pytest.raises(ConfigError, match=r"setting 'kind' = 5: .*; unknown setting 'epoch' \(did"):
        Outer.from_dict({"epoch": 1, "kind": 5})


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the configuration file .*none\.toml"):
        Outer.from_toml(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("epochs = [1,\n")
    with pytest.raises(ConfigError, match=r"broken\.toml is not valid TOML"):
        Outer.from_toml(broken)
    broken.write_bytes(b"epochs = '\xff'\n")
    with pytest.raises(ConfigError, match="cannot read the configuration file"):
        Outer.from_toml(broken)


@pytest.mark.parametrize(
    ("text", "keys", "value"),
    [
        ("epochs=20", ["epochs"], 20),
        ("a.b.c=1e-3", ["a", "b", "c"], 1e-3),
        ("split.family=O", ["split", "family"], "O"),
        ('split.family="O"', ["split", "family"], "O"),
        ("methods=['ridge', 'cal']", ["methods"], ["ridge", "cal"]),
        (" separate = true ", ["separate"], True),
        ("file=a=b.csv", ["file"], "a=b.csv"),
        ("unit=", ["unit"], ""),
        ("methods=[1,", ["methods"], "[1,"),
    ],
)
def test_assignments(text, keys, value):
    parsed = parse_assignment(text)
    assert parsed == (keys, value)
    assert type(parsed[1]) is type(value)


@pytest.mark.parametrize("text", ["epochs", "=3", " =3", ""])
def test_assignments_without_a_name_are_refused(text):
    with pytest.raises(ConfigError, match=r"expected name=value, such as erm\.epochs=20"):
        parse_assignment(text)


def test_set_nested_makes_levels_and_keeps_the_others():
    values = {"split": {"family": "F"}}
    set_nested(values, ["split", "tail"], "low")
    set_nested(values, ["data", "dataset"], "x.csv")
    assert values == {"split": {"family": "F", "tail": "low"}, "data": {"dataset": "x.csv"}}
    with pytest.raises(ConfigError, match=r"^data\.dataset\.name: 'dataset' is a value"):
        set_nested(values, ["data", "dataset", "name"], 1)
