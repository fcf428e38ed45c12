"""Plugins that fail or end their process: one line, exit code 1, and failed records."""

from __future__ import annotations

import json

import pytest

SPEC = """
plugins = ["{name}"]
methods = {methods}
seeds = 1
audit = false
[data.gaps]
dataset = "{table}"
target = "gap"
[splits.random]
scheme = "random"
"""

METHOD = """
import os, sys
from xtalshift.estimators import ConstantRegressor
from xtalshift.methods import register_method

class Ending(ConstantRegressor):
    def _fit(self, data):
        {action}

@register_method("ending")
def build(settings, seed):
    return Ending(random_state=seed)
"""


@pytest.fixture
def benchmark(xtalshift, table, tmp_path):
    def call(content, *options, name="plugin.py", methods=("ridge",)):
        (tmp_path / name).write_bytes(content)
        spec = SPEC.format(name=name, methods=json.dumps(methods), table=table)
        (tmp_path / "spec.toml").write_text(spec)
        return xtalshift("benchmark", tmp_path / "spec.toml", "-o", tmp_path / "out", *options)

    return call


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"import sys; sys.exit(0)", "SystemExit: 0"),
        (b"import os; os._exit(3)", "ended with exit code 3"),
        (b"import os; os.kill(os.getpid(), 9)", "SIGKILL"),
        (b"raise ValueError('two\\nlines')", "ValueError: two lines"),
        (b"raise KeyboardInterrupt", "KeyboardInterrupt"),
        (b"def f(): f()\nf()", "RecursionError"),
        (b"This is a text.", "SyntaxError"),
        (b"\xff\x00", "cannot read the plugin"),
    ],
)
def test_a_plugin_cannot_end_the_command_with_another_code(benchmark, tmp_path, content, words):
    outcome = benchmark(content, "--plan")
    assert outcome.code == 1
    (line,) = outcome.err.splitlines()
    assert line.startswith("Error: ")
    assert "plugin.py" in line
    assert words in line
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_python_module_is_refused(benchmark):
    outcome = benchmark(b"print('harmless')", "--plan", name="notes.txt")
    assert outcome.code == 1
    assert outcome.out == ""
    assert "notes.txt is no Python file; its name must end in .py" in outcome.err


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("sys.exit(0)", "SystemExit: 0"),
        ("os._exit(3)", "ended with exit code 3"),
        ("self._fit(data)", "RecursionError"),
    ],
)
def test_a_method_that_ends_its_process_is_a_failed_record(benchmark, tmp_path, action, reason):
    content = METHOD.format(action=action).encode()
    outcome = benchmark(content, "--workers", "1", methods=("ending", "ridge"))
    assert outcome.code == 0, outcome.err
    records = [
        json.loads(line) for line in (tmp_path / "out" / "records.jsonl").read_text().splitlines()
    ]
    found = {record["name"]: record for record in records if "name" in record}
    assert found["ridge"]["status"] == "ok"
    assert found["ending"]["status"] == "failed"
    assert reason in found["ending"]["reason"]
