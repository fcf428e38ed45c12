"""What a benchmark leaves behind: names of its files and columns."""

__all__ = ["JUDGED_COLUMNS", "RESULTS_FILE", "SCHEMA_VERSION"]

RESULTS_FILE = "results.json"
SCHEMA_VERSION = 1

JUDGED_COLUMNS = ["lower", "upper", "std", "needed_level", "ood_score", "in_domain"]
"""Columns of ``predictions.parquet`` that say how far to trust a prediction."""
