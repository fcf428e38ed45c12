import numpy as np
import pytest

from xtalshift.data.transform import TRANSFORMS, TargetTransform
from xtalshift.errors import ConfigError, DataError

POSITIVE = np.array([1e-6, 0.5, 1.0, 3.25, 1e4])


@pytest.mark.parametrize("name", TRANSFORMS)
def test_inverse_undoes_forward(name):
    transform = TargetTransform(name)
    np.testing.assert_allclose(transform.inverse(transform.forward(POSITIVE)), POSITIVE, rtol=1e-12)


def test_known_values():
    y = np.array([0.0, 1.0])
    assert TargetTransform("none").forward(y).tolist() == [0.0, 1.0]
    assert TargetTransform("log").forward([np.e]).tolist() == [1.0]
    assert TargetTransform("log1p").forward(y).tolist() == [0.0, np.log(2.0)]
    asinh = TargetTransform("asinh").forward([-1.0])[0]
    assert asinh == pytest.approx(-np.log(1 + np.sqrt(2.0)), rel=1e-14)
    assert TargetTransform("clip").inverse([-3.0, 0.0, 2.0]).tolist() == [0.0, 0.0, 2.0]


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("log", 0.0, "use log1p, asinh or none"),
        ("log", -2.5, "use log1p, asinh or none"),
        ("log1p", -1.0, "use asinh or none"),
        ("clip", -0.1, "use none"),
        ("none", np.nan, "clean the table first"),
        ("asinh", np.inf, "clean the table first"),
    ],
)
def test_outside_the_domain_names_row_value_and_remedy(name, value, remedy):
    with pytest.raises(DataError) as caught:
        TargetTransform(name).forward([1.0, value, value])
    message = str(caught.value)
    assert f"row 2: {value:g} (2 of 3 rows)" in message
    assert remedy in message


def test_unknown_name_has_a_hint():
    with pytest.raises(ConfigError, match="did you mean 'log1p'"):
        TargetTransform("log1")


def test_returns_a_copy_and_overflows_silently():
    y = np.array([1.0])
    assert TargetTransform("none").forward(y) is not y
    assert TargetTransform("none").inverse(y) is not y
    assert TargetTransform("log").inverse([1e4]).tolist() == [np.inf]
