"""The table of the best rows: sort everything, then take row by row."""


def slow_table(rows, k, per_group=None):
    """Return the numbers of the rows of the table, best first.

    `rows` are tuples of (key, tie, group, admitted), in the order of the input; key None: no rank.
    """
    ranked = [
        (-key, -tie, number) for number, (key, tie, _, _) in enumerate(rows) if key is not None
    ]
    taken, members = [], {}
    for _, _, number in sorted(ranked):
        _, _, group, admitted = rows[number]
        if len(taken) == k:
            break
        if not admitted or (per_group is not None and members.get(group, 0) == per_group):
            continue
        taken.append(number)
        members[group] = members.get(group, 0) + 1
    return taken
