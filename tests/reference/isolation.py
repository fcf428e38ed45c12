"""The covariate split, written as slowly and plainly as its definition."""

import math


def most_isolated(points, groups, share, n_neighbors):
    """Return the names of the held-out groups.

    Every group counts as the mean of its rows; distances are taken in columns of unit variance
    over the groups, between all pairs.
    """
    names = sorted(set(groups))
    centres = []
    for name in names:
        rows = [point for point, group in zip(points, groups, strict=True) if group == name]
        centres.append([sum(column) / len(rows) for column in zip(*rows, strict=True)])
    columns = []
    for column in zip(*centres, strict=True):
        mean = sum(column) / len(column)
        deviation = math.sqrt(sum((x - mean) ** 2 for x in column) / len(column))
        columns.append([(x - mean) / deviation for x in column])
    scaled = list(zip(*columns, strict=True))
    isolation = {}
    for name, point in zip(names, scaled, strict=True):
        distances = sorted(math.dist(point, other) for other in scaled)
        isolation[name] = round(sum(distances[1 : n_neighbors + 1]) / n_neighbors, 9)
    held_out, n_rows = [], 0
    for name in sorted(names, key=lambda name: -isolation[name]):
        n_rows += list(groups).count(name)
        if held_out and n_rows > share * len(groups):
            break
        held_out.append(name)
        if n_rows > share * len(groups):
            break
    return set(held_out)
