"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real tables that XTALSHIFT_DATA names, or skip."""
    folder = os.environ.get("XTALSHIFT_DATA")
    if not folder:
        pytest.skip("XTALSHIFT_DATA is not set")
    return Path(folder)
