"""A benchmark in sentences that claim no more than its tests show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xtalshift.benchmark.summary_records import BenchmarkSummary
from xtalshift.report.benchmark.leaderboard import Board, Place, Row
from xtalshift.report.shared.text import (
    Caution,
    format_number,
    format_p,
    format_seconds,
    join_some,
)
from xtalshift.words import plural

NETWORKS = ("network", "robust", "cal")
_MOSTLY = 0.6
_AUDIT = {
    "leak": ("leaks", "leak", ": a formula or row of the test part is also in another part."),
    "degenerate": ("is", "are", " too small in its test or training part."),
    "interpolation": ("is", "are", " interpolation: the audit finds no shift."),
}
"""Labels of the audit that limit the conclusions: verb of one and of several splits, and rest."""


@dataclass(frozen=True)
class BoardText:
    """Sentences beside a leaderboard: tests, constants, diagram of ranks, and what a task is."""

    test: str
    constants: str
    ranks: str
    unit: str


def describe_board(board: Board, places: Sequence[Place]) -> BoardText:
    """Return the sentences beside a leaderboard; `places` are those of the whole benchmark."""
    shown = [places[i] for i in board.columns]
    return BoardText(
        _describe_test(board),
        _describe_constants(board),
        _describe_ranks(board),
        _describe_unit(board, shown),
    )


def write_verdict(
    boards: Sequence[Board], texts: Sequence[BoardText], places: Sequence[Place]
) -> list[str]:
    """Say in one to three sentences what the tests show, and where a cheap method is as good."""
    if not boards:
        return ["There is nothing to compare: fewer than two methods have a result."]
    found = [texts[0].test]
    if boards[1:]:
        found.append(_capital("; ".join(_short_test(board) for board in boards[1:]) + "."))
    cheap = _compare_cheap(boards[0], places) or texts[0].constants
    return [*found, cheap] if cheap else found


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _with_labels(board: Board) -> str:
    labels = plural(board.budget, "target label")
    return f"with {labels}" if board.budget else "without target labels"


def _differing(board: Board) -> list[Row]:
    """Return the rows that differ significantly from the best one."""
    return [row for row in board.usual if row.p is not None and row.p < board.level]


def _describe_test(board: Board) -> str:
    rows, differing = board.usual, _differing(board)
    best, n_others = rows[0].label, len(rows) - 1
    lead = "best average rank" if rows[0].rank is not None else "smallest mean relative error"
    bold = [row.label for row in rows if row.bold]
    when = _capital(_with_labels(board))
    if not bold:
        differs = f"none of the other {n_others} methods differs"
        differs = "the other method does not differ" if n_others == 1 else differs
        return (
            f"{when}, no method is bold: {best} has the {lead}, but {differs} significantly from "
            f"it{_smallest_p(board, n_others)}."
        )
    tests = "paired Wilcoxon tests, Holm-corrected"
    unsure = [row.label for row in rows if not row.bold and row not in differing]
    few = (
        f" Not bold, because of too few tasks or no significant difference from the dummy: "
        f"{join_some(unsure)}."
        if unsure
        else ""
    )
    others = [label for label in bold if label != best]
    if others:
        equal = join_some(others)
        return (
            f"{when}, {best} has the {lead}. {equal} {_do(others)} not differ significantly from "
            f"it; {len(differing)} of the {len(rows)} methods {_do(differing)} ({tests}).{few}"
        )
    which = f"{len(differing)} of the other {n_others} methods"
    if len(differing) == n_others:
        which = "the other method" if n_others == 1 else f"each of the other {n_others} methods"
    return f"{when}, {best} has the {lead} and differs significantly from {which} ({tests}).{few}"


def _do(many: Sequence[object]) -> str:
    return "does" if len(many) == 1 else "do"


def _smallest_p(board: Board, n_others: int) -> str:
    """Say so where no method could differ significantly, even if it won every task."""
    least = 2.0 ** (1 - board.n_tasks)
    if least * n_others < board.level:
        return ""
    after = f", before the correction for {n_others} comparisons" if least < board.level else ""
    tasks = plural(board.n_tasks, "task")
    return f"; {tasks} cannot show a difference (smallest possible p {_equals(least)}{after})"


def _equals(p: float) -> str:
    text = format_p(p)
    return f"< {text[1:]}" if text.startswith("<") else f"= {text}"


def _short_test(board: Board) -> str:
    rows, differing = board.usual, _differing(board)
    best, when = rows[0].label, _with_labels(board)
    others = [row.label for row in rows[1:] if row.bold]
    if not rows[0].bold:
        return f"{when}, no method is bold"
    what = "ranks best" if rows[0].rank is not None else "has the smallest mean error"
    if others:
        return f"{when}, {best} {what}, without a significant difference from {join_some(others)}"
    every = len(differing) == len(rows) - 1
    whom = "all others" if every else f"{len(differing)} of {len(rows) - 1} others"
    return f"{when}, {best} {what} and differs significantly from {whom}"


def _describe_constants(board: Board) -> str:
    """Say how many methods have a smaller mean error than the best constant, and which tests."""
    known = [(row, row.over_dummy) for row in board.usual if row.over_dummy is not None]
    constants = [one for one in known if one[0].kind == "constant"]
    others = [one for one in known if one[0].kind != "constant"]
    if not constants or not others:
        return ""
    best, smallest = min(constants, key=lambda one: one[1])
    ahead = [row.label for row, error in others if error < smallest]
    behind = [row.label for row, _ in others if row.label not in ahead]
    goal = f"a smaller mean error than the best constant, {best.label}"
    rest = f"; {join_some(behind)} {_do(behind)} not" if ahead and behind else ""
    tested = f"; {_test_constants(board, best.label, ahead)}" if ahead else ""
    if len(others) == 1:
        which = "The only other method " + ("has" if ahead else "does not have")
    else:
        many = "None" if not ahead else "All" if not behind else str(len(ahead))
        of = " " if many == "All" else " of the "
        which = f"{many}{of}{len(others)} other methods {'have' if len(ahead) > 1 else 'has'}"
    return f"{which} {goal}{rest}{tested}."


def _test_constants(board: Board, constant: str, ahead: list[str]) -> str:
    """Say for how many methods that are ahead of a constant the difference is significant."""
    better = set()
    for one in board.comparisons:
        lead = one.mean_difference or 0.0
        pair = {one.a: lead, one.b: -lead}
        if constant in pair and one.wilcoxon_holm is not None and one.wilcoxon_holm < board.level:
            better |= {label for label, value in pair.items() if value < 0}
    n_better, pairs = sum(label in better for label in ahead), len(board.comparisons)
    if not n_better and 2.0 ** (1 - board.n_tasks) * pairs >= board.level:
        # the smallest p of a signed-rank test, corrected
        verb = "is" if board.n_tasks == 1 else "are"
        many = f"{pairs:,} pairs" if pairs > 1 else "the pair"
        return f"{plural(board.n_tasks, 'task')} {verb} too few to test {many}"
    which = "all of them" if n_better == len(ahead) > 1 else str(n_better or "none")
    corrected = f" (corrected for all {pairs:,} pairs)" if pairs > 1 else ""
    return f"the difference is significant for {which}{corrected}"


def _compare_cheap(board: Board, places: Sequence[Place]) -> str:
    """Say on how many splits a cheap method has a smaller error than networks.

    The cheap methods are the classical method with the smallest mean error, and the constants.
    """
    networks = [row for row in board.usual if row.kind in NETWORKS]
    classical = [row for row in board.usual if row.kind == "classical" and row.over_dummy]
    constants = [row for row in board.usual if row.kind == "constant"]
    columns = [
        number
        for number, index in enumerate(board.columns)
        if not board.shifted or places[index].role == "ood"
    ]
    if not networks or not columns:
        return ""
    parts = []
    if classical:
        best = min(classical, key=lambda row: row.over_dummy or 0.0)
        every, some = _count_ahead([best], networks, columns)
        own = f" ({format_seconds(best.seconds)} s per fit)" if best.seconds else ""
        many = len(networks) > 1
        text = (
            f"on {len(every) or 'none'} of {plural(len(columns), 'split')}, the best classical "
            f"method, {best.label}{own}, has a smaller mean error than "
            f"{'every network' if many else networks[0].label}{_span_seconds(networks)}"
        )
        if many and len(some) > len(every):
            text += f", on {len(some)} than at least one of the {len(networks)}"
        parts.append(text)
    if constants:
        _, some = _count_ahead(constants, networks, columns)
        if some:
            names = join_some([places[board.columns[number]].label for number in some])
            which = "a network" if len(networks) > 1 else networks[0].label
            parts.append(f"on {names}, even a constant has a smaller error than {which}")
    return _capital("; ".join(parts)) + " (means without tests)." if parts else ""


def _count_ahead(
    cheap: Sequence[Row], networks: Sequence[Row], columns: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return the columns where a cheap method has a smaller error than every network, and any."""
    every, some = [], []
    for column in columns:
        own = [e for row in cheap if (e := row.cells[column].error) is not None]
        theirs = [e for row in networks if (e := row.cells[column].error) is not None]
        if own and theirs:
            every += [column] if min(own) < min(theirs) else []
            some += [column] if min(own) < max(theirs) else []
    return every, some


def _span_seconds(rows: Sequence[Row]) -> str:
    seconds = [row.seconds for row in rows if row.seconds]
    if not seconds:
        return ""
    low, high = format_seconds(min(seconds)), format_seconds(max(seconds))
    return f" ({low} s)" if low == high else f" ({low} to {high} s)"


def _describe_ranks(board: Board) -> str:
    if board.critical_difference is None:
        return (
            "No task has a result of every method, so there are no average ranks; the methods are "
            "sorted by their mean error."
        )
    over = plural(board.n_tasks, "task")
    if board.n_complete != board.n_tasks:
        over = f"the {board.n_complete:,} of {over} that have a result of every method"
    text = f"Average ranks over {over}."
    if board.friedman_p is not None:
        significant = board.friedman_p < board.level
        outcome = "the ranks differ" if significant else "equal ranks are not excluded"
        text += f" Friedman's test: p {_equals(board.friedman_p)}, {outcome}."
    return (
        f"{text} A bar joins methods whose ranks differ by less than the critical difference (CD) "
        f"of {format_number(board.critical_difference)} (Nemenyi's test, level {board.level:g})."
    )


def _describe_unit(board: Board, places: Sequence[Place]) -> str:
    """Say what a task is, and what the tests neglect."""
    counted = [place for place in places if place.role == "ood"] or list(places)
    if board.unit == "fold" or all(place.runs == place.folds for place in counted):
        several = any(place.runs > place.folds for place in counted)
        mean = ", and its error the mean over seeds" if several else ""
        text = (
            f"A task is a fold{mean}. Folds of one table share training rows, which the tests "
            "neglect."
        )
    else:
        text = (
            "A task is a fold and a seed, because there are few folds. Seeds share OOD test rows, "
            "so the tasks are not independent and the p-values tend to be too small."
        )
    folds: dict[str, int] = {}
    for place in counted:
        folds[place.split] = folds.get(place.split, 0) + place.folds
    most, total = max(folds, key=lambda split: folds[split], default=""), sum(folds.values())
    if len(folds) > 1 and folds[most] > _MOSTLY * total:
        share = f"{100 * folds[most] / total:.0f} %"
        text += f" {share} of the tasks are folds of {most}, which dominates ranks and tests."
    return text


def list_cautions(
    summary: BenchmarkSummary,
    boards: Sequence[Board],
    texts: Sequence[BoardText],
    places: Sequence[Place],
) -> list[Caution]:
    """Return what a reader should know before relying on the numbers."""
    found = []
    for label, (one, several, rest) in _AUDIT.items():
        names = [_name_with_folds(place, label) for place in places if _has_label(place, label)]
        if names:
            text = f"{join_some(names)} {one if len(names) == 1 else several}{rest}"
            found.append(Caution("stop" if label == "leak" else "care", text))
    notes = list(_describe_gaps(summary, boards, places))
    if boards:
        units = {board.unit: text.unit for board, text in zip(boards, texts, strict=True)}
        notes += [texts[0].constants, *units.values()]
    if summary.n_seeds == 1:
        notes.append("There is only one seed, so the spread over seeds is unknown.")
    capped = [f"{one.name} ({one.row_cap:,})" for one in summary.methods if one.row_cap]
    if capped:
        notes.append(f"Trained on a sample of the rows where there are more: {join_some(capped)}.")
    return found + [Caution("care", text) for text in notes if text]


def _has_label(place: Place, label: str) -> bool:
    # a random split is meant to interpolate
    wanted = label == "interpolation" and place.role != "ood"
    return bool(place.audit.labels.get(label)) and not wanted


def _name_with_folds(place: Place, label: str) -> str:
    if place.folds == 1:
        return place.label
    return f"{place.label} ({place.audit.labels[label]} of {place.folds} folds)"


def _describe_gaps(
    summary: BenchmarkSummary, boards: Sequence[Board], places: Sequence[Place]
) -> Iterator[str]:
    """Say what is missing."""
    if summary.n_left:
        verb = "is" if summary.n_left == 1 else "are"
        yield (
            f"{plural(summary.n_left, 'task')} of {summary.n_tasks:,} {verb} not done yet; the "
            "same command continues."
        )
    if summary.n_failed:
        yield f"{plural(summary.n_failed, 'task')} failed; the list of failures gives the reasons."
    if summary.n_unscored:
        yield (
            f"{plural(summary.n_unscored, 'split')} of finished tasks could not be scored; the "
            "list of failures gives the reasons."
        )
    if absent := list(dict.fromkeys(name for board in boards for name in board.absent)):
        yield f"Without any result: {join_some(absent)}."
    for board in boards:
        left_out = board.n_tasks - board.n_complete
        if left_out:
            counted = [
                number
                for number, index in enumerate(board.columns)
                if not board.shifted or places[index].role == "ood"
            ]
            lacking = [
                row.label
                for row in board.usual
                if any(row.cells[number].missing for number in counted)
            ]
            who = f": {join_some(lacking)}" if lacking else ""
            one = left_out == 1
            yield (
                f"{_capital(_with_labels(board))}, {left_out:,} of "
                f"{plural(board.n_tasks, 'task')} {'lacks' if one else 'lack'} a method and "
                f"{'does' if one else 'do'} not count for the ranks{who}."
            )
