"""Methods that use target labels, or weigh source rows by target features, by name."""

from __future__ import annotations

__all__: list[str] = []
