"""What a benchmark leaves behind: names of its files and columns."""

__all__ = [
    "JUDGED_COLUMNS",
    "KIND",
    "READABLE_VERSIONS",
    "RESULTS_FILE",
    "SCHEMA_VERSION",
    "SUMMARY_FILE",
    "SUMMARY_VERSION",
]

RESULTS_FILE = "results.json"
SCHEMA_VERSION = 1
READABLE_VERSIONS = (1, 2)
"""Versions of ``results.json`` that can be reported; both have the same shape."""

SUMMARY_FILE = "summary.json"
SUMMARY_VERSION = 1
KIND = "xtalshift-benchmark-summary"

JUDGED_COLUMNS = ["lower", "upper", "std", "needed_level", "ood_score", "in_domain"]
"""Columns of ``predictions.parquet`` that say how far to trust a prediction."""
