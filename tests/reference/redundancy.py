"""Redundancy by the definition: compare every formula with every other."""

from xtalshift.chem.formulas import parse_formula


def distance(one, other):
    """Return half the L1 distance of the atomic fractions."""
    parts = []
    for text in (one, other):
        parsed = parse_formula(text)
        total = sum(parsed.amounts)
        parts.append({z: a / total for z, a in zip(parsed.z, parsed.amounts, strict=True)})
    left, right = parts
    return sum(abs(left.get(z, 0) - right.get(z, 0)) for z in {*left, *right}) / 2


def near_pairs(formulas, max_distance):
    """Return all pairs of places with a distance of at most `max_distance`."""
    return [
        (i, j)
        for i in range(len(formulas))
        for j in range(i + 1, len(formulas))
        if distance(formulas[i], formulas[j]) <= max_distance + 1e-9
    ]


def linked(formulas, max_distance):
    """Return the sets of places that are linked, directly or over others."""
    parts = [{place} for place in range(len(formulas))]
    for i, j in near_pairs(formulas, max_distance):
        one, other = (next(part for part in parts if place in part) for place in (i, j))
        if one is not other:
            one |= other
            parts.remove(other)
    return parts
