"""Runs waiting jobs, each in a process of its own.

Quick ones do not wait for others: who looks at a table must not wait for a training.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from threading import Condition, Thread

from xtalshift.web.job_store import LOG, Job, JobStore
from xtalshift.web.settings import ServeConfig

_POLL = 0.1
_GRACE = 5.0
"""Seconds that a job has to end by itself after Ctrl-C."""
_TAIL = 1000


class JobRunner:
    """As many threads as jobs may run; each starts a process, and waits for it."""

    def __init__(
        self,
        jobs: JobStore,
        store: Path,
        config: ServeConfig,
        *,
        quick: Collection[str] = (),
    ) -> None:
        """Begin nothing yet; jobs of the kinds `quick` have a thread for them alone, too."""
        self._jobs = jobs
        self._store = store
        self._seconds = config.max_job_hours * 3600
        self._changed = Condition()
        self._stopped = False
        self._cancelled: set[str] = set()
        lanes: list[Collection[str] | None] = [None] * config.workers
        lanes += [quick] if quick else []
        self._threads = [Thread(target=self._serve, args=(lane,)) for lane in lanes]

    def start(self) -> None:
        """Begin with the jobs that wait."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all processes; what can be continued is, by the next server of the store."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def wake(self) -> None:
        """Say that a job waits."""
        with self._changed:
            self._changed.notify_all()

    def cancel(self, job: Job) -> None:
        """End a job that waits or runs."""
        with self._changed:
            self._cancelled.add(job.id)
        if self._jobs.get(job.id).state == "waiting":
            self._jobs.finish(job, "cancelled", "it was cancelled before it began")

    def _serve(self, kinds: Collection[str] | None) -> None:
        while True:
            with self._changed:
                if self._stopped:
                    return
                job = self._jobs.take(kinds)
                if job is None:
                    self._changed.wait(_POLL * 10)
                    continue
            try:
                self._run(job)
            except OSError as error:  # such as a full disk: the next job may need less
                self._jobs.finish(job, "failed", f"its process could not be started: {error}")

    def _run(self, job: Job) -> None:
        folder = self._jobs.folder(job)
        with (folder / LOG).open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own code, and paths that we made
                [sys.executable, "-m", "xtalshift.web.work", str(folder), str(self._store)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=folder,  # messages and results name its files, not their places
                start_new_session=True,
                env={**os.environ, "XTALSHIFT_CELLS_NAME_FILES": "no"},
            )
        why = self._wait(job, process)
        _end(process, gently=bool(why))
        self._cancelled.discard(job.id)
        outcome = self._jobs.outcome(job)
        if outcome is not None:
            self._jobs.settle(job, outcome)
        elif why == "cancelled":
            self._jobs.finish(job, "cancelled", "it was cancelled")
        elif why == "late":
            hours = f"{self._seconds / 3600:g} h"
            self._jobs.finish(job, "failed", f"it took more than {hours}, the limit of the server")
        elif not why:
            self._jobs.finish(job, "failed", _describe(process.returncode, folder / LOG))
        # else the server stops: the next one continues the job or says that it was interrupted

    def _wait(self, job: Job, process: subprocess.Popen[bytes]) -> str:
        """Wait for the end of a process; return why it has to be ended, or an empty text."""
        end = time.monotonic() + self._seconds
        while process.poll() is None:
            if job.id in self._cancelled:
                return "cancelled"
            if self._stopped:
                return "stopped"
            if time.monotonic() > end:
                return "late"
            time.sleep(_POLL)
        return ""


def _end(process: subprocess.Popen[bytes], *, gently: bool) -> None:
    """End a process with all that it started."""
    if gently:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


def _describe(code: int, log: Path) -> str:
    """Return why a process ended without an outcome."""
    if code < 0:
        name = signal.Signals(-code).name
        why = "; perhaps memory ran out" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{why}. Submit it again, with fewer rows or threads"
    last = log.read_text(encoding="utf-8", errors="replace")[-_TAIL:].split("\n")
    said = next((line for line in reversed(last) if line.strip()), "it said nothing")
    return f"its process ended with code {code}: {said}"
