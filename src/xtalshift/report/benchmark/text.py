"""A benchmark in sentences, which say no more than its tests do.

Boards and places are those of `xtalshift.report.benchmark.payload.benchmark_payload`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from xtalshift.report.shared.text import format_number, format_seconds, join_words

__all__ = ["describe_board", "format_p", "list_cautions", "write_verdict"]

NETWORKS = ("network", "robust", "cal")
_N_NAMES = 4
_LEAST_P = 0.001
_MOSTLY = 0.6
_AUDIT = (
    (
        "leak",
        "{} leaks: a formula or row of the test part stands in another part too.",
        "{} leak: a formula or row of the test part stands in another part too.",
    ),
    (
        "degenerate",
        "{} is too small, or leaves too little to train on, to be relied on.",
        "{} are too small, or leave too little to train on, to be relied on.",
    ),
    (
        "interpolation",
        "{} is no more than interpolation: the audit finds no shift.",
        "{} are no more than interpolation: the audit finds no shift.",
    ),
)
"""Labels of the audit that a reader must know, and what is said of one split and of several."""


def format_p(value: float | None) -> str:
    """Write a p value with three decimals (``"<0.001"``, ``"0.034"``)."""
    if value is None:
        return format_number(None)
    return f"<{_LEAST_P}" if value < _LEAST_P else f"{value:.3f}"


def _equals(p: float) -> str:
    return f"< {_LEAST_P}" if p < _LEAST_P else f"= {p:.3f}"


def write_verdict(payload: dict[str, Any]) -> list[str]:
    """Say in one to three sentences what the tests tell, and where a cheap method does as well."""
    boards = payload["boards"]
    if not boards:
        return ["There is nothing to compare: fewer than two methods have a result."]
    first, further = boards[0], boards[1:]
    found = [first["sentences"]["test"]]
    if further:
        parts = "; ".join(_short_test(board) for board in further)
        found.append(f"{parts[0].upper()}{parts[1:]}.")
    cheap = _cheap_baselines(first, payload["places"]) or first["sentences"]["constants"]
    return [*found, cheap] if cheap else found


def describe_board(board: dict[str, Any], places: list[dict[str, Any]]) -> dict[str, str]:
    """Return the sentences beside a leaderboard: ``test``, ``constants``, ``ranks``, ``unit``."""
    return {
        "test": _test(board),
        "constants": _constants(board),
        "ranks": _ranks(board),
        "unit": _unit(board, [places[i] for i in board["columns"]]),
    }


def _when(board: dict[str, Any]) -> str:
    budget = board["budget"]
    return f"With {budget} target label{'s' * (budget != 1)}" if budget else "Without target labels"


def _usual(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that are compared: the methods, not their variants."""
    return [row for row in board["rows"] if not row["variant"]]


def _test(board: dict[str, Any]) -> str:
    rows = _usual(board)
    best, n_others = rows[0]["label"], len(rows) - 1
    first = (
        "the best average rank"
        if rows[0]["rank"] is not None
        else "the smallest mean relative error"
    )
    bold = [row["label"] for row in rows if row["bold"]]
    if not bold:
        other = "the other method" if n_others == 1 else f"any of the other {n_others} methods"
        text = (
            f"{_when(board)} nothing is bold: no test tells {other} from {best}, which has {first}"
        )
        return f"{text}{_out_of_reach(board, n_others)}."
    told, tests = _told(board), "paired Wilcoxon tests, Holm"
    unsure = [row["label"] for row in rows if not row["bold"] and row not in told]
    few = (
        f"; not bold all the same (too few tasks, or not told from the dummy): {_some(unsure)}"
        if unsure
        else ""
    )
    if len(bold) == 1:
        each = f"{len(told)} of the other {n_others} methods"
        if len(told) == n_others:
            each = "the other method" if n_others == 1 else f"each of the other {n_others} methods"
        return (
            f"{_when(board)} {best} has {first}, and the tests tell {each} from it ({tests}){few}."
        )
    others = [label for label in bold if label != best]
    return (
        f"{_when(board)} {best} has {first}; the tests do not tell {_some(others)} from it, but "
        f"they do tell {len(told)} of the {len(rows)} methods ({tests}){few}."
    )


def _told(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that the tests tell from the best one."""
    return [row for row in _usual(board) if row["p"] is not None and row["p"] < board["level"]]


def _out_of_reach(board: dict[str, Any], n_others: int) -> str:
    """Say so where even a method that wins every task could not be told from the others."""
    n = board["n_tasks"]
    least = 2.0 ** (1 - n)
    if least * n_others < board["level"]:
        return ""
    after = f", before the correction for {n_others} comparisons" if least < board["level"] else ""
    tasks = "one task" if n == 1 else f"{n} tasks"
    return f"; with {tasks} none could (smallest possible p {_equals(least)}{after})"


def _short_test(board: dict[str, Any]) -> str:
    rows = _usual(board)
    best, when = rows[0]["label"], f"with {_plural(board['budget'], 'target label')}"
    others = [row["label"] for row in rows[1:] if row["bold"]]
    if not rows[0]["bold"]:
        return f"{when} nothing is bold"
    what = "ranks best" if rows[0]["rank"] is not None else "has the smallest mean error"
    if not others:
        told = len(_told(board))
        whom = "all others" if told == len(rows) - 1 else f"{told} of {len(rows) - 1} others"
        return f"{when} {best} {what}, told from {whom}"
    return f"{when} {best} {what}, {_some(others)} not told from it"


def _some(names: Sequence[str]) -> str:
    """Write the first names and how many more there are."""
    if len(names) <= _N_NAMES:
        return join_words(names)
    return f"{', '.join(names[: _N_NAMES - 1])} and {len(names) - _N_NAMES + 1} more"


def _constants(board: dict[str, Any]) -> str:
    """Say how many methods have a smaller mean error than the best constant, and by test."""
    rows = [row for row in _usual(board) if row["over_dummy"] is not None]
    constants = [row for row in rows if row["kind"] == "constant"]
    others = [row for row in rows if row["kind"] != "constant"]
    if not constants or not others:
        return ""
    best = min(constants, key=lambda row: row["over_dummy"])
    ahead = [row["label"] for row in others if row["over_dummy"] < best["over_dummy"]]
    told = set()
    for one in board["comparisons"]:
        pair = {one["a"]: one["mean_difference"], one["b"]: -(one["mean_difference"] or 0.0)}
        p = one["wilcoxon_holm"]
        if best["label"] in pair and p is not None and p < board["level"]:
            told |= {label for label, lead in pair.items() if (lead or 0.0) < 0}
    n_told = sum(label in told for label in ahead)
    size = "the only other method" if len(others) == 1 else f"the {len(others)} other methods"
    if not ahead:
        none = "The only other method does not have" if len(others) == 1 else f"None of {size} has"
        return f"{none} a smaller mean error than the best constant, {best['label']}."
    many = "All" if len(ahead) == len(others) else f"{len(ahead)} of"
    if len(others) == 1:
        many, size = "", "The only other method"
    verb = "has" if len(ahead) == 1 else "have"
    which = "all of them" if n_told == len(ahead) > 1 else f"{n_told}" if n_told else "none"
    pairs = len(board["comparisons"])
    corrected = f", corrected for all {pairs:,} pairs," if pairs > 1 else ""
    tested = f"tests{corrected} bear this out for {which}"
    if not n_told and 2.0 ** (1 - board["n_tasks"]) * pairs >= board["level"]:
        # the smallest p of a signed-rank test, corrected
        many_pairs = f"{pairs:,} pairs" if pairs > 1 else "the pair"
        n_tasks = board["n_tasks"]
        tasks = "one task is" if n_tasks == 1 else f"{n_tasks} tasks are"
        tested = f"{tasks} too few to test {many_pairs}"
    behind = [row["label"] for row in others if row["label"] not in ahead]
    rest = f"; without: {_some(behind)}" if behind else ""
    return (
        f"{many} {size} {verb} a smaller mean error than the best constant, {best['label']}; "
        f"{tested}{rest}."
    ).lstrip()


def _cheap_baselines(board: dict[str, Any], places: list[dict[str, Any]]) -> str:
    """Say on how many splits a classical method, or a constant, has a smaller error than networks.

    The classical method is the one with the smallest mean error.
    """
    rows = _usual(board)
    networks = [row for row in rows if row["kind"] in NETWORKS]
    classical = [
        row for row in rows if row["kind"] == "classical" and row["over_dummy"] is not None
    ]
    constants = [row for row in rows if row["kind"] == "constant"]
    columns = [
        number
        for number, index in enumerate(board["columns"])
        if not board["shifted"] or places[index]["role"] == "ood"
    ]
    if not networks or not columns:
        return ""
    parts = []
    if classical:
        best = min(classical, key=lambda row: row["over_dummy"])
        every, some = _count_ahead([best], networks, columns)
        own = f" ({format_seconds(best['seconds'])} s per fit)" if best["seconds"] else ""
        times = _span([row["seconds"] for row in networks if row["seconds"]])
        many = len(networks) > 1
        text = (
            f"on {len(every) or 'none'} of {_plural(len(columns), 'split')} the best classical "
            f"method, {best['label']}{own}, has a smaller mean error than "
            f"{'every network' if many else networks[0]['label']}{times}"
        )
        if many and len(some) > len(every):
            text += f", on {len(some)} than at least one of the {len(networks)}"
        parts.append(text)
    if constants:
        _, some = _count_ahead(constants, networks, columns)
        if some:
            names = [places[board["columns"][number]]["label"] for number in some]
            which = "a network" if len(networks) > 1 else networks[0]["label"]
            parts.append(f"on {_some(names)} even a constant has a smaller one than {which}")
    if not parts:
        return ""
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]} (means, not tests)."


def _count_ahead(
    cheap: list[dict[str, Any]], networks: list[dict[str, Any]], columns: list[int]
) -> tuple[list[int], list[int]]:
    """Return the columns where one of the cheap methods has a smaller error than all, and any."""
    every, some = [], []
    for column in columns:
        own = [e for row in cheap if (e := row["cells"][column]["mae"]) is not None]
        theirs = [e for row in networks if (e := row["cells"][column]["mae"]) is not None]
        if own and theirs:
            every += [column] if min(own) < min(theirs) else []
            some += [column] if min(own) < max(theirs) else []
    return every, some


def _span(seconds: list[float]) -> str:
    if not seconds:
        return ""
    low, high = format_seconds(min(seconds)), format_seconds(max(seconds))
    return f" ({low} s)" if low == high else f" ({low} to {high} s)"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"


def _ranks(board: dict[str, Any]) -> str:
    """Say what the diagram of average ranks shows, and whether the ranks may be chance."""
    if board["critical_difference"] is None:
        return (
            "No task has a result of every method, so there are no average ranks; methods stand in "
            "the order of their mean error."
        )
    complete = f"{board['n_complete']:,} of {board['n_tasks']:,}"
    over = f"{board['n_tasks']:,}" if board["n_complete"] == board["n_tasks"] else complete
    text = f"Average ranks over {over} tasks"
    if over == complete:
        text += " (those where every method has a result)"
    p = board["friedman_p"]
    if p is not None:
        outcome = (
            "methods do not all rank alike"
            if p < board["level"]
            else "that all methods rank alike is not ruled out"
        )
        text += f". Friedman's test: p {_equals(p)}, {outcome}"
    difference = format_number(board["critical_difference"])
    return (
        f"{text}. A bar joins methods whose ranks differ by less than the critical difference (CD, "
        f"Nemenyi, level {board['level']:g}) of {difference}: they are not told apart."
    )


def _unit(board: dict[str, Any], places: list[dict[str, Any]]) -> str:
    """Say what a task is, and what the tests do not know of it."""
    counted = [place for place in places if place["role"] == "ood"] or places
    total = sum(place["folds"] for place in counted)
    if board["unit"] == "fold" or all(place["runs"] == place["folds"] for place in counted):
        several = any(place["runs"] > place["folds"] for place in counted)
        text = (
            f"A task is a fold{', its error the mean over seeds' if several else ''}; folds of one "
            "table share training rows, which the tests do not know."
        )
    else:
        text = (
            "A task is a fold and a seed, as there are too few folds. Seeds share OOD test rows, "
            "so tasks are not independent: p values are too small rather than too large."
        )
    folds: dict[str, int] = {}
    for place in counted:
        folds[place["split"]] = folds.get(place["split"], 0) + place["folds"]
    most = max(folds, key=lambda split: folds[split], default="")
    if len(folds) > 1 and folds[most] > _MOSTLY * total:
        share = f"{100 * folds[most] / total:.0f} %"
        text += f" {share} of the tasks are folds of {most}, which decides ranks and tests."
    return text


def list_cautions(payload: dict[str, Any]) -> list[dict[str, str]]:
    """Return what a reader should know before relying on the numbers (``level``, ``text``)."""
    counts, boards, places = payload["counts"], payload["boards"], payload["places"]
    notes: list[tuple[str, str]] = []
    for label, one, several in _AUDIT:
        found = [_which(place, label) for place in places if _concerns(place, label)]
        if found:
            text = (one if len(found) == 1 else several).format(_some(found))
            notes.append(("stop" if label == "leak" else "note", text))
    notes += [("note", text) for text in _gaps(counts, boards, places)]
    if boards:
        notes.append(("note", boards[0]["sentences"]["constants"]))
        units = {board["unit"]: board["sentences"]["unit"] for board in reversed(boards)}
        notes += [("note", text) for text in units.values()]
    if counts["seeds"] == 1:
        notes.append(("note", "There is one seed, so no spread over seeds."))
    capped = [f"{one['name']} ({one['row_cap']:,})" for one in payload["methods"] if one["row_cap"]]
    if capped:
        notes.append(
            ("note", f"Trained on a sample of the rows where there are more: {_some(capped)}.")
        )
    return [{"level": level, "text": text} for level, text in notes if text]


def _concerns(place: dict[str, Any], label: str) -> bool:
    # a random split is meant to interpolate
    return bool(place["labels"].get(label)) and not (
        label == "interpolation" and place["role"] != "ood"
    )


def _which(place: dict[str, Any], label: str) -> str:
    if place["folds"] == 1:
        return str(place["label"])
    return f"{place['label']} ({place['labels'][label]} of {place['folds']} folds)"


def _gaps(
    counts: dict[str, Any], boards: list[dict[str, Any]], places: list[dict[str, Any]]
) -> Iterable[str]:
    """Say what is missing."""
    if counts["left"]:
        yield (
            f"{_plural(counts['left'], 'task')} of {counts['tasks']:,} "
            f"{'is' if counts['left'] == 1 else 'are'} not done yet; the same command continues."
        )
    if counts["failed"]:
        yield f"{_plural(counts['failed'], 'task')} failed; the reasons stand below."
    absent = dict.fromkeys(name for board in boards for name in board["absent"])
    if absent:
        yield f"Without any result: {_some(list(absent))}."
    for board in boards:
        left_out = board["n_tasks"] - board["n_complete"]
        if left_out:
            lacking = [
                row["label"]
                for row in _usual(board)
                if any(
                    cell["missing"]
                    for cell, index in zip(row["cells"], board["columns"], strict=True)
                    if not board["shifted"] or places[index]["role"] == "ood"
                )
            ]
            who = f": {_some(lacking)}" if lacking else ""
            yield (
                f"{_when(board)} {left_out:,} of {_plural(board['n_tasks'], 'task')} "
                f"{'lacks' if left_out == 1 else 'lack'} a method and "
                f"{'does' if left_out == 1 else 'do'} not count for ranks{who}."
            )
