"""The page of CAL's settings says what the code does: presets, ablations and examples."""

import ast
import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest

from xtalshift.cal.adaptation import AdaptConfig
from xtalshift.cal.settings import PRESETS, CALConfig
from xtalshift.config import parse_assignment, set_nested
from xtalshift.jobs.run_settings import RunConfig

PAGE = Path(__file__).parents[3] / "docs" / "science" / "cal-settings.md"
TEXT = PAGE.read_text(encoding="utf-8")


def rows_below(header):
    """Return the cells of every table row that stands below a header starting with `header`."""
    rows, inside = [], False
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == header:
            inside = True
        elif inside and set(line) != set("|-"):
            rows.append(cells)
    return rows


def assigned(text):
    """Return what the ``--set`` options of a command set, as nested values."""
    words = shlex.split(text)
    values = {}
    for option, assignment in pairwise(words):
        if option == "--set":
            set_nested(values, *parse_assignment(assignment))
    return values


def blocks(language):
    """Return the fenced examples of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


SETTINGS = rows_below("setting")
ABLATIONS = {row[0]: row[1:] for row in rows_below("ablation")}
COMMANDS = [
    command
    for block in blocks("bash")
    for command in block.replace("\\\n", " ").splitlines()
    if command.strip()
]


def ablation(name, preset="cal"):
    """Return the settings that the page gives for an ablation, on top of a preset."""
    return CALConfig.from_dict(
        {"preset": preset, **ast.literal_eval(ABLATIONS[name][1].strip("`"))}
    )


def test_every_setting_is_listed_once_in_the_order_of_the_code():
    listed = [row[0].strip("`") for row in SETTINGS]
    assert listed == [name for name in CALConfig.model_fields if name != "preset"]


def test_every_table_has_a_column_per_preset():
    headers = re.findall(r"^\| setting .*$", TEXT, flags=re.MULTILINE)
    names = ["paper", "paper-targeted", "cal", "cal-targeted", "cal-crystal"]
    assert set(headers) == {
        f"| setting | {' | '.join(f'`{name}`' for name in names)} | meaning | source or reason |"
    }
    assert set(names) == set(PRESETS)
    assert all(len(row) == 8 and all(row) for row in SETTINGS)


@pytest.mark.parametrize(
    ("column", "preset"),
    [
        (1, "paper"),
        (2, "paper-targeted"),
        (3, "cal"),
        (4, "cal-targeted"),
        (5, "cal-crystal"),
    ],
)
def test_every_value_is_the_presets(column, preset):
    stated = {row[0].strip("`"): parse_assignment(f"x={row[column]}")[1] for row in SETTINGS}
    plain = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in PRESETS[preset].items()
    }
    assert stated == plain


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("name", ABLATIONS)
def test_every_ablation_is_accepted_in_every_preset_and_changes_what_it_says(name, preset):
    command, python = (cell.strip("`") for cell in ABLATIONS[name])
    settings = ast.literal_eval(python)
    assert settings
    assert assigned(command) == {"cal": settings}
    config = CALConfig.from_dict({"preset": preset, **settings})
    before = CALConfig.from_dict({"preset": preset})
    assert config == before.model_copy(update=settings)
    through_run = RunConfig.from_dict({"cal": {"preset": preset, **assigned(command)["cal"]}})
    assert through_run.cal == config


@pytest.mark.parametrize(
    "setting",
    [
        "attack",
        "attack_method",
        "ball",
        "environments",
        "labels",
        "objective",
        "outer_layers",
        "weight_rule",
    ],
)
def test_every_choice_is_an_ablation(setting):
    shown = {ast.literal_eval(cells[1].strip("`")).get(setting) for cells in ABLATIONS.values()}
    assert shown - {None} == set(get_args(CALConfig.model_fields[setting].annotation))


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_controls_leave_out_what_they_name(preset):
    control = ablation("epsilon = 0, the control without an attack", preset)
    assert not control.attacks
    assert control == CALConfig.from_dict({"preset": preset}).without_attack()
    for name in ("no partial sampling", "attack only: all rows, fixed weights"):
        assert ablation(name, preset).hard_rows(10_001) == 10_001
        assert ablation(name, preset).attacks
    sampling = ablation("partial sampling only: no CAL steps", preset)
    assert (sampling.theta_steps, sampling.erm_rows) == (0, "hardest")


@pytest.mark.parametrize(
    ("name", "preset", "changed"),
    [
        ("learned weights, as published", "paper", set()),
        ("learned weights, unrolled", "cal", set()),
        ("environments: random", "paper", set()),
        ("environments: clusters", "cal", set()),
        ("ball: root mean square", "cal", set()),
        ("ball: none", "paper", set()),
        ("ball: weighted root mean square", "cal", {"ball"}),
        ("attack on features", "cal", set()),
        ("steps of the attack: steepest", "cal", set()),
        ("steps of the attack: Adam-like", "paper", set()),
        ("outer gradient through all layers", "cal", set()),
    ],
)
def test_an_ablation_names_the_values_of_the_preset_that_has_it(name, preset, changed):
    config, plain = ablation(name, preset), CALConfig.from_dict({"preset": preset})
    differing = {
        key for key in CALConfig.model_fields if getattr(config, key) != getattr(plain, key)
    }
    assert differing == changed


def test_the_examples_of_commands_hold_valid_settings():
    kinds = [shlex.split(command)[1] for command in COMMANDS]
    assert kinds == ["train", "run", "adapt", "adapt"]
    train, run = (RunConfig.from_dict(assigned(command)).cal for command in COMMANDS[:2])
    assert (train.preset, train.epsilon) == ("cal", 0.2)
    assert (run.preset, run.epochs, run.attack_steps) == ("paper", 60, 10)
    adapt = AdaptConfig.from_dict(assigned(COMMANDS[2]))
    assert (adapt.steps, adapt.cal_config(10).epsilon) == (800, 0.2)


def test_the_example_of_the_published_targeted_recipe_is_its_preset():
    config = AdaptConfig.from_dict(assigned(COMMANDS[3])).cal_config(10)
    assert config == CALConfig.from_dict({"preset": "paper-targeted"})


def test_adaptation_wins_over_the_preset_where_the_page_says_so():
    given = AdaptConfig.from_dict({"cal": {"preset": "paper-targeted"}}).cal_config(10)
    preset = CALConfig.from_dict({"preset": "paper-targeted"})
    differing = {
        key for key in CALConfig.model_fields if getattr(given, key) != getattr(preset, key)
    }
    own = {"patience", "batch_size", "learning_rate", "weight_decay", "ema_decay", "replay"}
    assert differing == {"epochs", *own}
    listed = re.findall(
        r"`(\w+)`", re.search(r"starts from `cal-targeted`;(.*?)own", TEXT, re.DOTALL)[1]
    )
    assert set(listed) == {"steps", *own}


def test_the_example_of_a_file_is_a_configuration():
    (example,) = blocks("toml")
    cal = RunConfig.from_dict(tomllib.loads(example)).cal
    assert (cal.preset, cal.epochs, cal.attack_betas) == ("paper", 60, (0.9, 0.999))
    assert cal.batch_size == PRESETS["paper"]["batch_size"]


def test_the_example_of_python_runs():
    (example,) = blocks("python")
    names: dict = {}
    exec(example, names)
    assert names["on_features"].preset == "paper"
    assert names["on_features"].settings == {"epochs": 60}
    assert not names["on_features"].needs_origin
    assert names["on_formulas"].method.needs_origin
