"""Where the name of each point of a scatter plot stands, so that names do not cover each other."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["place_labels"]

_WIDTH = 6.3
"""Of a character, in pixels at 11 px."""
_HEIGHT = 13.0
_GAP = 7.0
_SIDES = {
    "middle right": (_GAP, -_HEIGHT / 2, 0.0),
    "middle left": (-_GAP, -_HEIGHT / 2, -1.0),
    "top center": (0.0, -_HEIGHT - _GAP + 1, -0.5),
    "bottom center": (0.0, _GAP - 1, -0.5),
    "top right": (_GAP / 2, -_HEIGHT - _GAP / 2, 0.0),
    "bottom right": (_GAP / 2, _GAP / 2, 0.0),
    "top left": (-_GAP / 2, -_HEIGHT - _GAP / 2, -1.0),
    "bottom left": (-_GAP / 2, _GAP / 2, -1.0),
}
"""Plotly's names: shift of the left upper corner, and of the left edge in widths of the text."""

Box = tuple[float, float, float, float]


def place_labels(
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    size: tuple[float, float],
    obstacles: Sequence[tuple[float, float]] = (),
) -> list[str | None]:
    """Choose the side of each point on which its name stands.

    Parameters
    ----------
    points : sequence of (float, float)
        In shares of the width and height of the plot, from the left lower corner.
    names : sequence of str
        One per point; an earlier one is placed first.
    size : (float, float)
        Width and height of the plot in pixels.
    obstacles : sequence of (float, float)
        Further points that no name may cover.

    Returns
    -------
    list of str or None
        Values of Plotly's ``textposition``; None where the name finds no free place.

    Examples
    --------
    >>> place_labels([(0.5, 0.5), (0.53, 0.5)], ["ridge", "erm"], (400, 300))
    ['middle left', 'middle right']
    """
    width, height = size
    pixels = [(x * width, (1.0 - y) * height) for x, y in points]
    marks = [_around(x, y) for x, y in pixels]
    marks += [_around(x * width, (1.0 - y) * height) for x, y in obstacles]
    taken: list[Box] = []
    sides: list[str | None] = []
    for (x, y), name in zip(pixels, names, strict=True):
        side = None
        for candidate, (right, down, shift) in _SIDES.items():
            long = _WIDTH * len(name)
            left, top = x + right + shift * long, y + down
            box = (left, top, left + long, top + _HEIGHT)
            inside = box[0] >= 0 and box[2] <= width and box[1] >= 0 and box[3] <= height
            if inside and not any(_overlap(box, other) for other in (*taken, *marks)):
                side = candidate
                taken.append(box)
                break
        sides.append(side)
    return sides


def _around(x: float, y: float) -> Box:
    return (x - 4.0, y - 4.0, x + 4.0, y + 4.0)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
