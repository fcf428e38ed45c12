"""File, --set and flags to one configuration."""

from __future__ import annotations

import os

import pytest

from xtalshift.cli.options import build_config, join_lists, split_names
from xtalshift.errors import ConfigError, UsageError


def test_the_later_wins_and_nothing_given_is_the_default(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text('seed = 1\n[erm]\nepochs = 7\nbatch_size = 8\n[data]\nunit = "eV"\n')
    config = build_config(
        file, ["erm.epochs=9", "seed=2"], {"seed": 3, "n_seeds": None, "data.target": "gap"}
    )
    assert (config.seed, config.n_seeds) == (3, 1)
    assert (config.erm.epochs, config.erm.batch_size) == (9, 8)
    assert (config.data.unit, config.data.target, config.data.dataset) == (
        "eV", "gap", "ricci_seebeck",
    )  # fmt: skip


def test_threads_are_the_cores_of_the_process_unless_given(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert build_config(None, None, {}).threads == 3
    assert build_config(None, ["threads=2"], {}).threads == 2
    assert build_config(None, ["threads=2"], {"threads": 1}).threads == 1


def test_wrong_settings_are_named(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[erm]\nepoch = 7\n")
    with pytest.raises(ConfigError, match=r"erm\.epoch.*did you mean 'epochs'"):
        build_config(file, None, {})
    with pytest.raises(ConfigError, match="'seed' is a value, not a group"):
        build_config(None, ["seed=1", "seed.x=2"], {})
    file.write_text("[erm\n")
    with pytest.raises(ConfigError, match=r"c\.toml is not valid TOML"):
        build_config(file, None, {})


def test_names_in_a_list():
    assert split_names(None) is None
    assert split_names(" a, b,,c ") == ["a", "b", "c"]
    assert split_names("") == []


def test_lists_of_a_repeated_option_are_one_list():
    assert join_lists(None) is None
    config = build_config(None, None, {"data.feature_cols": join_lists(['"T, K"', "p,H"])})
    assert config.data.feature_cols == ("T, K", "p", "H")
    with pytest.raises(UsageError, match=r"'data\.feature_cols'.*a quote is not closed"):
        build_config(None, None, {"data.feature_cols": '"T, K'})
