"""Findings of a table as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from xtalshift.data.intake import Finding

_SHOWN = 2
_WIDTH = 60


def finding_lines(finding: Finding, indent: str = "") -> Iterator[str]:
    """Yield one line for a finding, with its remedy, and lines for two examples.

    What all examples say is said once.
    """
    reasons = {example.reason for example in finding.examples}
    shown = finding.examples[:_SHOWN]
    count = f"{finding.count:,} {'row' if finding.count == 1 else 'rows'}"
    remedy = f". {finding.remedy}." if finding.remedy else ""
    if len(reasons) == 1 and finding.count > 1:
        reason = reasons.pop()
        said = "" if reason == finding.kind else f": {reason}"
        yield f"{indent}- {finding.kind} ({count}){said}{remedy}"
        examples = (f"row {example.row}: {_short(example.value)}" for example in shown)
        yield f"{indent}    {', '.join(examples)}"
        return
    yield f"{indent}- {finding.kind} ({count}){remedy}"
    for example in shown:
        value = "" if example.value in example.reason else f"{_short(example.value)}: "
        yield f"{indent}    row {example.row}: {value}{example.reason}"


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
