"""Try many tasks in a process of their own, such that a crash or a hang of one is a result."""

import resource
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from typing import Any

SECONDS = 60
MEMORY = 2**34


def _work(make: Callable[[], Callable[..., str]], tasks: list[Any], pipe: Any) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    attempt = make()
    pipe.send("ready")
    for task in tasks:
        try:
            pipe.send(attempt(*task))
        except Exception:  # noqa: BLE001 - of the attempt itself
            pipe.send(f"fault: {traceback.format_exc()[-1000:]}")


def try_each(make: Callable[[], Callable[..., str]], tasks: list[Any]) -> Iterator[tuple[Any, str]]:
    """Yield each task (a tuple of arguments) and the text that an attempt at it returned.

    `make` is called once in the process and returns the attempt. A crash or a hang is a result
    that begins with ``fault:``.
    """
    context, done = get_context("spawn"), 0
    while done < len(tasks):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(make, tasks[done:], theirs))
        process.start()
        theirs.close()
        try:
            assert ours.poll(300)
            assert ours.recv() == "ready"
            while done < len(tasks):
                result = ours.recv() if ours.poll(SECONDS) else "fault: hang"
                yield tasks[done], result
                done += 1
                if result == "fault: hang":
                    break
        except EOFError:
            process.join()
            yield tasks[done], f"fault: crash with exit code {process.exitcode}"
            done += 1
        finally:
            process.kill()
            process.join()
