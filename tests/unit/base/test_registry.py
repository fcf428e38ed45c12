import pytest

from xtalshift.errors import NotFoundError
from xtalshift.registry import Registry, near_miss


def test_a_registry_finds_what_was_added():
    shapes = Registry("shape")
    shapes.add("square", 4)

    @shapes.register("blob")
    class Blob:
        pass

    assert shapes["square"] == 4
    assert shapes["blob"] is Blob
    assert list(shapes) == ["square", "blob"]
    assert len(shapes) == 2
    assert "blob" in shapes
    assert "line" not in shapes


def test_a_taken_name_is_refused():
    shapes = Registry("shape")
    shapes.add("square", 4)
    with pytest.raises(ValueError, match="shape 'square' is already registered"):
        shapes.add("square", 5)
    assert shapes["square"] == 4


def test_an_unknown_name_lists_what_exists():
    shapes = Registry("shape")
    shapes.add("square", 4)
    shapes.add("line", 2)
    with pytest.raises(NotFoundError) as caught:
        shapes["Squaree"]
    expected = "no shape named 'Squaree' (did you mean 'square'?). Known: square, line."
    assert str(caught.value) == expected
    with pytest.raises(KeyError, match=r"no shape named 'xyz'\. Known: square, line\."):
        shapes["xyz"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("familyy", " (did you mean 'family'?)"),
        ("FAMILY", " (did you mean 'family'?)"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_near_miss(name, hint):
    assert near_miss(name, ["random", "family", "prior"]) == hint
