"""The answer about candidates in sentences."""

from __future__ import annotations

import math

from xtalshift.benchmark.answer import Answer, ClassAnswer, Situation, Verdict
from xtalshift.benchmark.verdict import COVERED, EXPECTED, HELPS, Grounds, grounds_of
from xtalshift.report.shared.text import format_number, format_percent, join_words
from xtalshift.words import plural

VERDICTS: dict[Verdict, str] = {
    "trust": "You can trust the predictions.",
    "ranking": "Trust the order of the predictions, not their values.",
    "measure": "Measure some candidates before you use the predictions.",
    "no": "Do not use these predictions.",
}
_MOST_ELEMENTS = 8
_MOST_FORMULAS = 10
_HARDLY = 0.97
"""Measuring changes nothing if it leaves at least this part of the error."""


def verdict_sentence(answer: Answer) -> str:
    """Return the verdict and its main ground in one or two sentences."""
    grounds = grounds_of(answer.proxies, answer.expected_mae)
    return f"{VERDICTS[answer.verdict]} {_ground(answer.verdict, grounds)}"


def _ground(verdict: Verdict, grounds: Grounds) -> str:
    share = format_percent(grounds.value)
    order = f"a typical rank correlation of {grounds.order:.2f}"
    if verdict == "trust":
        return (
            f"The error to expect is {format_percent(grounds.expected)} of that of the mean of the "
            f"table ({share} on hold-outs of your data that imitate the candidates), and the order "
            f"of these hold-outs is found with {order}."
        )
    if verdict == "ranking":
        why = f"the error is {share} of that of the mean"
        if grounds.coverage < COVERED:
            why = f"its 90 % intervals hold only {format_percent(grounds.coverage)}"
        elif grounds.expected > max(EXPECTED, grounds.value):
            why = f"the error to expect is {format_percent(grounds.expected)} of that of the mean"
        return (
            f"On hold-outs that imitate the candidates the order is found with {order}, but {why}."
        )
    if verdict == "measure":
        return (
            f"On hold-outs that imitate the candidates the order is hardly found ({order}), but "
            f"some measured values left {format_percent(grounds.measured)} of the error."
        )
    return f"On hold-outs that imitate the candidates the order is hardly found ({order})."


def unlike_sentences(answer: Situation) -> list[str]:
    """Return how the candidates differ from the table."""
    said = []
    unread = answer.n - answer.n_usable
    if unread:
        said.append(
            f"{unread:,} of {plural(answer.n, 'candidate')} cannot be predicted; see `reason`."
        )
    if answer.new_elements:
        names = list(answer.new_elements[:_MOST_ELEMENTS])
        more = len(answer.new_elements) - len(names)
        listed = join_words([*names, f"{more} more"] if more else names)
        verb, them = ("is", "it") if len(answer.new_elements) == 1 else ("are", "at least one")
        said.append(
            f"{listed} {verb} in no material of your table; {answer.n_new:,} of "
            f"{answer.n_usable:,} candidates contain {them}."
        )
    said.append(
        f"{answer.n_new_systems:,} of {answer.n_usable:,} candidates have a set of elements that "
        "no material of your table has."
    )
    said.append(
        f"A candidate is {answer.distance_ratio:.1f} times as far from the nearest material of "
        "your table as these are from each other (median)."
    )
    if answer.known:
        names, more = list(answer.known[:_MOST_FORMULAS]), len(answer.known) - _MOST_FORMULAS
        listed = join_words([*names, f"{more} more"] if more > 0 else names)
        verb, its = ("is", "its measured value decides its rank") if len(answer.known) == 1 else (
            "are", "their measured values decide their rank"
        )  # fmt: skip
        said.append(f"{listed} {verb} in your table already; {its} (column `measured`).")
    if answer.n_seen or answer.n_seen_rows:
        said.append(
            f"The pretrained encoder has seen {answer.n_seen:,} of the candidates, with other or "
            f"the same properties, and {plural(answer.n_seen_rows, 'material')} of your table, "
            "which therefore judge no method."
        )
    return said


def error_sentences(answer: Answer, unit: str) -> list[str]:
    """Return the error to expect, the method, and what its intervals held."""

    def size(value: float) -> str:
        return f"{format_number(value)} {unit}".strip()

    logs = [math.log(one.mae_dummy) for one in answer.proxies if one.mae_dummy > 0]
    constant = ""
    if logs:
        mean = math.exp(sum(logs) / len(logs))
        constant = f" The mean of the table has {size(mean)} on the hold-outs."
    level = f", level with {join_words(answer.level_with)}" if answer.level_with else ""
    expected = (
        f"Expect a mean absolute error of {size(answer.expected_mae)}; in eight of ten such cases "
        f"it is between {format_number(answer.expected_low)} and {size(answer.expected_high)}."
    )
    said = [
        f"{expected}{constant}",
        f"Method: {answer.method}{level}.",
    ]
    if answer.coverage is not None:
        held = f"{format_percent(answer.coverage)} of the values of the hold-outs"
        said.append(
            f"Its 90 % intervals are as wide as these hold-outs need, and held {held} (each judged "
            "by the others)."
            + ("" if answer.coverage >= COVERED else " They will probably hold too few.")
        )
    return [*said, *_fifths(answer)]


def class_sentences(answer: ClassAnswer) -> list[str]:
    """Return what to expect of predicted classes, the method, and what its sets held."""
    n = len(answer.proxies)
    right = format_percent(sum(one.accuracy for one in answer.proxies) / n)
    share = format_percent(answer.expected_log_loss / answer.constant)
    level = f", level with {join_words(answer.level_with)}" if answer.level_with else ""
    range_ = "One hold-out does not say how far it may be from that."
    if answer.expected_low is not None and answer.expected_high is not None:
        range_ = (
            f"In eight of ten such cases it is between {format_number(answer.expected_low)} and "
            f"{format_number(answer.expected_high)}."
        )
    losses = [one.log_loss for one in answer.proxies]
    was = format_number(losses[0])
    if n > 1:
        was = f"{format_number(min(losses))} to {format_number(max(losses))}"
    expected = (
        f"Expect a log loss near {format_number(answer.expected_log_loss)} ({share} of that of the "
        f"shares of the classes). {range_} On {plural(n, 'hold-out')} of your table that "
        f"{'imitates' if n == 1 else 'imitate'} the candidates it was {was}, and "
        f"{right} of the classes were predicted correctly."
    )
    said = [
        expected,
        f"Method: {answer.method}{level}.",
        "Its probabilities are calibrated on these hold-outs.",
    ]
    if answer.coverage is not None:
        said.append(
            f"Its 90 % sets held {format_percent(answer.coverage)} of their classes (each hold-out "
            "judged by the others)."
            + ("" if answer.coverage >= COVERED else " They will probably hold too few.")
        )
    return said


def class_verdict(answer: ClassAnswer) -> str:
    """Return whether the predicted classes are worth more than the shares of the classes."""
    if answer.useful:
        return "The probabilities of the classes are of use for these candidates."
    return (
        "Do not use these classes: on hold-outs that imitate the candidates the shares of the "
        "classes in your table had a smaller log loss."
    )


def class_measure_sentence(answer: ClassAnswer) -> str:
    """Return what to measure first; empty if there is nothing to measure."""
    if not answer.measure:
        return ""
    first = ", ".join(answer.measure[:_MOST_FORMULAS])
    more = len(answer.measure) - _MOST_FORMULAS
    return (
        f"Measure first: {first}{f' and {more} more' if more > 0 else ''}: they are uncertain and "
        "differ from each other. Whether that improves the others was not simulated."
    )


def _fifths(answer: Answer) -> list[str]:
    """Return how far the ends of the order can be believed, which people choose from."""
    said = []
    for end, name in ((1, "highest"), (0, "lowest")):
        share = format_percent(sum(one.found[end] for one in answer.proxies) / len(answer.proxies))
        covered = [one.covered[end] for one in answer.proxies if one.covered is not None]
        text = (
            f"Of the fifth with the {name} predictions, {share} are in the {name} fifth of a "
            "hold-out by value (20 % by chance)"
        )
        if covered:
            held = sum(covered) / len(covered)
            text += f"; their intervals hold {format_percent(held)}"
        said.append(f"{text}.")
    return said


def measure_sentence(answer: Answer) -> str:
    """Return what to measure and what it would bring; empty if there is nothing to measure."""
    if not answer.measure:
        return ""
    first = ", ".join(answer.measure[:_MOST_FORMULAS])
    more = len(answer.measure) - _MOST_FORMULAS
    text = f"Measure first: {first}{f' and {more} more' if more > 0 else ''}."
    left = answer.measured_ratio
    if left is None:
        return f"{text} The hold-outs are too small to say what that would bring."
    counts = sorted(one.n_measured for one in answer.proxies if one.n_measured)
    count = f"{counts[0]} to {counts[-1]}" if counts[0] < counts[-1] else f"{counts[0]}"
    share = format_percent(left)
    if left >= _HARDLY:
        return (
            f"{text} This will hardly improve the other predictions: on the hold-outs, xtalshift "
            f"adapt with {count} measured materials left {share} of the error of the others. So "
            "measure those that you would use."
        )
    if left > HELPS:
        return (
            f"{text} On the hold-outs, xtalshift adapt with {count} measured materials reduced "
            f"the error of the others little (to {share})."
        )
    return (
        f"{text} On the hold-outs, xtalshift adapt with {count} measured materials left {share} "
        "of the error of the others."
    )


NEXT_STEP = (
    "After measuring: add the values to your table and run the same command again (with another "
    "--out), or xtalshift adapt the model, which says whether the values improve it."
)
