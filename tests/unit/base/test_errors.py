import pytest

from xtalshift import errors
from xtalshift.progress import NO_PROGRESS


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("ConfigError", ValueError),
        ("UsageError", ValueError),
        ("ContractError", AssertionError),
        ("NotFoundError", KeyError),
        ("DataError", ValueError),
        ("FormulaError", ValueError),
        ("FetchError", OSError),
        ("SplitError", ValueError),
        ("LeakageError", ValueError),
        ("ModelFormatError", ValueError),
        ("NotConformalizedError", AttributeError),
        ("TrainingError", RuntimeError),
        ("WorkerDiedError", RuntimeError),
    ],
)
def test_errors_have_one_root_and_a_builtin_kind(name, builtin):
    error = getattr(errors, name)
    assert issubclass(error, errors.XtalshiftError)
    assert issubclass(error, builtin)
    assert str(error("row 3: 'x'")) == "row 3: 'x'"


def test_every_error_is_tested_above():
    classes = {
        name
        for name, item in vars(errors).items()
        if isinstance(item, type) and issubclass(item, Exception)
    }
    assert len(classes) == 14


def test_the_default_listener_says_nothing(capsys):
    NO_PROGRESS.say("text")
    with NO_PROGRESS.task("fit", 3) as task:
        task.advance(2, loss=0.1)
        task.say("text")
    assert capsys.readouterr() == ("", "")
