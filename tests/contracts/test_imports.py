"""What `import xtalshift` costs, and that every public name exists."""

import ast
import importlib
import importlib.metadata
import json
import pkgutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import xtalshift

SOURCE = Path(xtalshift.__file__).parent
MODULES = sorted(
    ["xtalshift", *(info.name for info in pkgutil.walk_packages([str(SOURCE)], "xtalshift."))]
)
HEAVY = {
    *("torch", "pandas", "numpy", "scipy", "pymatgen", "plotly", "ray", "sklearn"),
    *("pydantic", "lightgbm", "umap", "pyarrow", "typer", "rich"),
}
MAX_SECONDS = 0.2


def loaded_by(statement):
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def best_seconds(statement):
    """Return the shortest of several runs: noise only ever adds."""

    def once():
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        return time.perf_counter() - started

    return min(once() for _ in range(5))


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import xtalshift") & HEAVY == set()


def test_chemistry_needs_neither_tables_nor_networks():
    loaded = loaded_by("from xtalshift import parse_formula; parse_formula('Fe2O3')")
    assert loaded & (HEAVY - {"numpy"}) == set()


def test_features_and_splits_need_no_network():
    loaded = loaded_by("from xtalshift import CompositionFeaturizer, RandomSplit")
    assert loaded & {"torch", "lightgbm", "plotly", "pymatgen", "umap"} == set()


def test_importing_the_package_is_fast():
    assert best_seconds("import xtalshift") - best_seconds("pass") < MAX_SECONDS


def test_the_walk_found_every_file():
    files = {path for path in SOURCE.rglob("*.py") if path.name != "__init__.py"}
    assert {name.rpartition(".")[2] for name in MODULES} >= {path.stem for path in files}
    assert len(MODULES) == len(list(SOURCE.rglob("*.py")))


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_exists(name):
    module = importlib.import_module(name)
    assert isinstance(module.__doc__, str)
    # a package may be a mere folder of modules; a module says what is public
    public = module.__all__ if not hasattr(module, "__path__") else getattr(module, "__all__", [])
    assert len(set(public)) == len(public)
    for public_name in public:
        assert getattr(module, public_name) is not None, public_name


def test_the_version_is_the_installed_one():
    assert xtalshift.__version__ == importlib.metadata.version("xtalshift")


def test_public_names_are_those_of_their_modules_and_show_in_dir():
    for name, home in xtalshift._HOMES.items():
        assert getattr(xtalshift, name) is getattr(importlib.import_module(home), name)
    assert set(xtalshift.__all__) <= set(dir(xtalshift))


def test_type_checkers_see_the_same_names():
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    assert seen == xtalshift._HOMES


def test_an_unknown_name_gets_a_hint():
    with pytest.raises(AttributeError, match="no attribute 'load_modle'; did you mean 'load_model"):
        xtalshift.load_modle  # noqa: B018
    assert not hasattr(xtalshift, "qqq")
