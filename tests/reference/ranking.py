"""What is found among the most extreme predictions, over every order of the rows."""

import itertools


def each_choice(scores, k):
    """Yield the k best rows for every order of the rows, which decides ties."""
    for order in itertools.permutations(range(len(scores))):
        yield sorted(order, key=lambda i: -scores[i])[:k]  # stable: ties as in this order


def slow_hits(flags, scores, k):
    """Return the mean number of flags among the k best."""
    counts = [sum(flags[i] for i in best) for best in each_choice(scores, k)]
    return sum(counts) / len(counts)


def slow_regret(targets, scores, k):
    """Return the mean distance of the best target among the k best from the best of all."""
    found = [max(targets) - max(targets[i] for i in best) for best in each_choice(scores, k)]
    return sum(found) / len(found)


def slow_top(targets, scores, k):
    """Return the mean share of the top rows among as many best; equal targets are in together."""
    edge = sorted(targets)[-k]
    top = [target >= edge for target in targets]
    return slow_hits(top, scores, sum(top)) / sum(top)
