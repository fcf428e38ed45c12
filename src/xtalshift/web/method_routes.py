"""REST: the methods that a request for a training can name."""

from __future__ import annotations

from fastapi import APIRouter

from xtalshift.jsonio import Plain
from xtalshift.methods import METHODS, saved_methods


def method_routes() -> APIRouter:
    """Return the route of the methods."""
    router = APIRouter(tags=["jobs"])

    @router.get("/methods", summary="List the methods that train and run offer")
    def methods() -> list[Plain]:
        return list_methods()

    return router


def list_methods() -> list[Plain]:
    """Return the name of each method of ``train`` and ``run``, and what it is.

    ``classes`` says whether it also learns classes; ``cost`` is that of a fit, where that of `erm`
    is 1.
    """
    return [
        {
            "name": name,
            "summary": METHODS[name].summary,
            "family": METHODS[name].family,
            "classes": METHODS[name].classify is not None,
            "cost": METHODS[name].cost,
        }
        for name in saved_methods()
    ]
