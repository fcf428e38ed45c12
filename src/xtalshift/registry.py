"""Name -> object, with near-miss hints."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar

from xtalshift.errors import NotFoundError

T = TypeVar("T")


def near_miss(name: str, choices: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the choice most like `name`, or an empty text.

    Parameters
    ----------
    name : str
        The name that was not found.
    choices : iterable of str
        The names that exist.

    Returns
    -------
    str
        Text to append to an error message.
    """
    folded = {choice.casefold(): choice for choice in choices}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


class Registry(Generic[T]):
    """One kind of named object.

    Parameters
    ----------
    kind : str
        What is registered, for messages (for instance ``"split"``).
    homes : mapping, optional
        Name -> module that has an object of this name, or ``module:attribute``; the module is
        imported when the name is looked up.

    Examples
    --------
    >>> shapes = Registry[int]("shape")
    >>> shapes.add("square", 4)
    >>> shapes["square"]
    4
    >>> shapes["sqare"]
    Traceback (most recent call last):
        ...
    xtalshift.errors.NotFoundError: no shape named 'sqare' (did you mean 'square'?). Known: square.
    """

    def __init__(self, kind: str, homes: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}
        self._homes = dict(homes or {})

    def add(self, name: str, item: T) -> None:
        """Add `item` under `name`.

        Raises
        ------
        ValueError
            If the name is taken.
        """
        if name in self:
            raise ValueError(f"{self.kind} {name!r} is already registered")
        self._items[name] = item

    def remove(self, name: str) -> None:
        """Remove what is under `name`."""
        del self._items[name]

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that adds the decorated object under `name`."""

        def decorate(item: T) -> T:
            self.add(name, item)
            return item

        return decorate

    def __getitem__(self, name: str) -> T:
        if name not in self:
            raise NotFoundError(
                f"no {self.kind} named {name!r}{near_miss(name, self)}. Known: {', '.join(self)}."
            )
        if name not in self._items:
            module, _, attribute = self._homes[name].partition(":")
            self._items[name] = getattr(import_module(module), attribute or name)
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items or name in self._homes

    def __iter__(self) -> Iterator[str]:
        return iter({**self._homes, **self._items})

    def __len__(self) -> int:
        return len({**self._homes, **self._items})
