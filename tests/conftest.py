"""Fixtures shared by all tests."""

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The networks of the tests are tiny: threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest  # after the setting, which libraries read when they load
from hypothesis import settings

# One process server forks the workers of all tests, so it loads what any of them needs: commands
# ask for less, and the first of them would decide.
if "forkserver" in multiprocessing.get_all_start_methods():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            *("xtalshift.parallel.processes", "xtalshift.benchmark.worker"),
            *("xtalshift.model.persist", "xtalshift.estimators.irnet"),
            *("lightgbm", "sklearn.ensemble", "threadpoolctl"),
        ]
    )
    context.set_forkserver_preload = lambda _: None

# A landing must not hang on the luck of a draw; by hand hypothesis goes on exploring.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real tables that XTALSHIFT_DATA names, or skip."""
    folder = os.environ.get("XTALSHIFT_DATA")
    if not folder:
        pytest.skip("XTALSHIFT_DATA is not set")
    return Path(folder)


@pytest.fixture
def said(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for what commands in other processes say."""
    return tmp_path_factory.mktemp("said")


@pytest.fixture(scope="module")
def few_corrections() -> Iterator[None]:
    """Let adaptations by a stack try three corrections, not fourteen."""
    from xtalshift.methods import stacks

    usual = stacks.corrections

    def few(settings: Any) -> list[Any]:
        small = settings.lightgbm.model_copy(update={"n_estimators": 20})
        found = usual(settings.model_copy(update={"lightgbm": small}))
        return [one for one in found if one.name in {"line", "svr on errors", "joint-lightgbm"}]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stacks, "corrections", few)
        yield
