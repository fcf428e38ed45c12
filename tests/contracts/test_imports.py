"""What the package and its commands load, and that every public name exists."""

import ast
import importlib
import importlib.metadata
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import xtalshift.data
import xtalshift.estimators
import xtalshift.featurize
from integration.tables import make_rows, write_rows
from xtalshift.cli.main import main

SOURCE = Path(xtalshift.__file__).parent
MODULES = sorted(
    ["xtalshift", *(info.name for info in pkgutil.walk_packages([str(SOURCE)], "xtalshift."))]
)
HEAVY = {
    *("torch", "pandas", "numpy", "scipy", "pymatgen", "matminer", "plotly", "ray", "sklearn"),
    *("pydantic", "lightgbm", "umap", "pyarrow", "typer", "rich", "httpx", "jinja2", "optuna"),
    *("gemmi", "ase", "spglib", "chgnet", "sevenn", "fastapi", "uvicorn", "starlette"),
}
PARSER = {"typer", "pydantic"}
TABLES = PARSER | {"numpy", "pandas", "pyarrow"}
PREDICTION = PARSER | {"numpy", "scipy"}  # of SciPy its parts are loaded at first use
SCIENCE = TABLES | {"scipy", "sklearn", "rich"}  # scikit-learn loads rich
COMMANDS = {  # a command and the heavy packages that it may load
    "--version": PARSER,
    "--help": PARSER | {"rich"},
    "predict --help": PARSER | {"rich"},
    "datasets list": PARSER,
    "datasets info ricci_seebeck": PARSER,
    "featurize TABLE -o OUT.parquet": PARSER | {"numpy", "pyarrow"},
    "featurize TABLE -o OUT.csv": TABLES,
    "split TABLE --scheme random -o OUT.parquet": SCIENCE,
    "split TABLE --scheme sparse-x -o OUT.csv": SCIENCE,
    "predict CONSTANT GaN LiFePO4 Fe2O3": PREDICTION,
    "predict RIDGE GaN LiFePO4 Fe2O3": PREDICTION,
    "predict RIDGE GaN -o OUT.csv": TABLES | PREDICTION,
    "predict RIDGE TABLE -o OUT.csv": TABLES | PREDICTION,
    "predict TREES GaN LiFePO4 Fe2O3": SCIENCE | {"lightgbm"},
    "screen RIDGE TABLE -o OUT": TABLES | PREDICTION,
    "screen TREES TABLE -o OUT": SCIENCE | {"lightgbm"},
}
RUN = "import sys; from xtalshift.cli.main import main; main(sys.argv[1:])"


def loaded_by(statement, *arguments):
    """Return the heavy packages that a statement has loaded when the process exits."""
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print('LOADED', json.dumps(list(sys.modules)), file=sys.stderr))\n"
        f"{statement}"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules = json.loads(done.stderr.rpartition("LOADED ")[2])
    return {name.partition(".")[0] for name in modules} & HEAVY


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("table") / "gaps.csv", make_rows(60))


@pytest.fixture(scope="module")
def models(table, tmp_path_factory):
    """Return one model of each kind that needs no torch."""
    folders = {}
    for name, method in (("CONSTANT", "dummy"), ("RIDGE", "ridge"), ("TREES", "lightgbm")):
        folders[name] = str(tmp_path_factory.mktemp("models") / method)
        with pytest.raises(SystemExit) as stop:
            main(["train", str(table), "--target", "gap", "--method", method, "-o", folders[name],
                  "--set", "lightgbm.n_estimators=20", "--threads", "1"])  # fmt: skip
        assert not stop.value.code
    return folders


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_loads_only_what_it_uses(command, table, models, tmp_path):
    words = {"TABLE": str(table), "OUT": str(tmp_path / "out"), **models}
    words |= {f"OUT.{kind}": str(tmp_path / f"out.{kind}") for kind in ("csv", "parquet")}
    arguments = [words.get(word, word) for word in command.split()]
    assert loaded_by(RUN, *arguments) - COMMANDS[command] == set()


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import xtalshift") == set()


def test_chemistry_needs_neither_tables_nor_networks():
    assert loaded_by("from xtalshift import parse_formula; parse_formula('Fe2O3')") <= {"numpy"}


def test_features_and_splits_need_no_network():
    statement = (
        "from xtalshift import CompositionFeaturizer; from xtalshift.splits import RandomSplit"
    )
    assert loaded_by(statement) <= SCIENCE


def test_the_walk_found_every_file():
    files = {path for path in SOURCE.rglob("*.py") if path.name != "__init__.py"}
    assert {name.rpartition(".")[2] for name in MODULES} >= {path.stem for path in files}
    assert len(MODULES) == len(list(SOURCE.rglob("*.py")))


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_exists(name):
    module = importlib.import_module(name)
    assert isinstance(module.__doc__, str)
    public = getattr(module, "__all__", [])  # packages have it, where users import from them
    assert len(set(public)) == len(public)
    for public_name in public:
        assert getattr(module, public_name) is not None, public_name


def test_the_version_is_the_installed_one():
    assert xtalshift.__version__ == importlib.metadata.version("xtalshift")


def test_public_names_are_those_of_their_modules_and_show_in_dir():
    for name, home in xtalshift._HOMES.items():
        assert getattr(xtalshift, name) is getattr(importlib.import_module(home), name)
    assert set(xtalshift.__all__) == set(dir(xtalshift))


@pytest.mark.parametrize(
    ("package", "homes"),
    [
        (xtalshift, xtalshift._HOMES),
        (xtalshift.data, xtalshift.data._HOMES),
        (xtalshift.estimators, xtalshift.estimators.HOMES | xtalshift.estimators._OTHERS),
        (xtalshift.featurize, xtalshift.featurize._HOMES),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_type_checkers_see_the_same_names(package, homes):
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    differ = dict(seen.items() ^ homes.items())
    where = package.__file__
    assert not differ, (
        f"{where} has these under TYPE_CHECKING or among its homes, not both: {differ}"
    )


def test_an_unknown_name_gets_a_hint():
    with pytest.raises(
        AttributeError, match=r"no attribute 'FormulaRegresor' \(did you mean 'FormulaReg"
    ):
        xtalshift.FormulaRegresor  # noqa: B018
    assert not hasattr(xtalshift, "qqq")
