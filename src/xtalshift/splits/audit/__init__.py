"""The audit of a split: what kind of shift it is, and how large."""

from xtalshift.splits.audit.fold_audit import audit_split

__all__ = ["audit_split"]
