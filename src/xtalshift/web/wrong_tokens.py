"""How fast wrong tokens are answered: whoever guesses has to wait, whoever knows it never does."""

from __future__ import annotations

import asyncio

_APART = 0.1
"""Seconds between the answers to two wrong tokens, whoever sends them."""
_LONGEST = 10.0
"""Seconds that an answer waits at most, so that connections cannot pile up for ever."""


class WrongTokens:
    """Keeps the answers to wrong tokens apart.

    It knows no senders: behind a proxy all have one address, and a list of them could be filled.
    The right token is looked at first, so that no number of wrong ones locks it out.
    """

    def __init__(self) -> None:
        self._next = 0.0

    async def wait(self) -> None:
        """Return when the answer to one more wrong token may go; at once if there were none."""
        now = asyncio.get_running_loop().time()
        turn = min(max(now, self._next), now + _LONGEST)
        self._next = turn + _APART
        await asyncio.sleep(turn - now)
