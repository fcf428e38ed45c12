"""The variance of DeLong et al. (1988), written as slowly and plainly as its definition."""


def slow_delong(positive, negative):
    """Return the area under the ROC curve and its variance from all pairs of scores."""

    def wins(x, y):
        return 1.0 if x > y else 0.5 if x == y else 0.0

    def mean(values):
        return sum(values) / len(values)

    def variance(values):
        return sum((value - mean(values)) ** 2 for value in values) / (len(values) - 1)

    of_positive = [mean([wins(x, y) for y in negative]) for x in positive]
    of_negative = [mean([wins(x, y) for x in positive]) for y in negative]
    auc = mean(of_positive)
    return auc, variance(of_positive) / len(positive) + variance(of_negative) / len(negative)
