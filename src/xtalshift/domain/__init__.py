"""Applicability domain: OOD score, its threshold, and reasons."""
