"""The jobs of a server: a table in SQLite, and a folder for each.

The table says what was asked and in which state it is; the folder has the input, the results and,
once the job has ended by itself, how (`OUTCOME`). A job is finished as soon as that file is there,
whatever the table says after a crash.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Literal

from xtalshift.data.writers import is_model
from xtalshift.errors import DataError, NotFoundError
from xtalshift.jsonio import Plain, read_json, write_json
from xtalshift.web.problems import RequestError

State = Literal["waiting", "running", "done", "failed", "cancelled", "interrupted"]
UNFINISHED: tuple[State, ...] = ("waiting", "running")

TASK, OUTCOME, EVENTS, LOG = "task.json", "outcome.json", "events.jsonl", "log.txt"
RESULT, MODEL, DIGEST = "result", "model", "digest.json"
"""Names in the folder of a job: what to do, how it ended, its progress, what it printed, the folder
of its results, and among these the model, and the answers of a run."""

_CHECKPOINT = "checkpoint"
"""What a screening keeps to be continued, no result."""
_TABLE = """
create table if not exists jobs (
    id text primary key, kind text not null, name text not null, state text not null,
    created real not null, started real, finished real, reason text not null, asked text not null
)
"""


@dataclass(frozen=True)
class Job:
    """One job."""

    id: str
    kind: str
    """The command."""
    name: str
    """Name of the model that it makes, else its id."""
    state: State
    created: float
    started: float | None = None
    finished: float | None = None
    """`created`, `started`, `finished`: seconds since 1970."""
    reason: str = ""
    """Why it is in this state, if it is neither waiting, running nor done."""
    asked: str = "{}"
    """The request, as JSON."""

    @property
    def ended(self) -> bool:
        """Whether it will never change again."""
        return self.state not in UNFINISHED


def _nothing(name: str) -> None:
    """Do nothing."""


class JobStore:
    """All jobs of the folder of a server, which no other process has open."""

    def __init__(self, store: Path, *, resumes: frozenset[str]) -> None:
        self.when_deleted: Callable[[str], None] = _nothing
        """Called with the name of each job that was deleted, which may be that of a model."""
        self._folder = store / "jobs"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._resumes = resumes
        self._lock = Lock()
        self._database = sqlite3.connect(store / "jobs.sqlite", check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        with self._lock, self._database:
            self._database.execute("pragma journal_mode = wal")
            self._database.execute("pragma synchronous = full")
            self._database.execute(_TABLE)
        self._recover()

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def folder(self, job: Job) -> Path:
        """Return the folder of a job."""
        return self._folder / job.id

    def prepare(self, kind: str) -> Path:
        """Make the folder of a job that is not submitted yet; its name is the id."""
        folder = self._folder / f"{kind}-{secrets.token_hex(6)}"
        (folder / RESULT).mkdir(parents=True)
        return folder

    def submit(self, folder: Path, name: str, asked: Plain, task: Plain, limit: int) -> Job:
        """Add a job with the folder that `prepare` made.

        Parameters
        ----------
        folder : Path
            Its folder with the input.
        name : str
            Name of the model that it makes; empty: its id.
        asked : dict
            The request.
        task : dict
            What its process is told.
        limit : int
            Largest number of unfinished jobs.

        Raises
        ------
        RequestError
            With status 429 if there are that many, 409 if another job has the name.
        """
        kind = folder.name.partition("-")[0]
        job = Job(folder.name, kind, name or folder.name, "waiting", time.time(),
                  asked=json.dumps(asked))  # fmt: skip
        write_json(folder / TASK, task)
        with self._lock, self._database:
            known = [Job(**dict(row)) for row in self._database.execute("select * from jobs")]
            waiting = sum(not one.ended for one in known)
            if waiting >= limit:
                raise RequestError(
                    HTTPStatus.TOO_MANY_REQUESTS,
                    f"{waiting} jobs wait or run; wait for one, or cancel one",
                    {"Retry-After": "60"},
                )
            if name in {one.name for one in known if one.state in {*UNFINISHED, "done"}}:
                raise RequestError(
                    HTTPStatus.CONFLICT, f"another job has the name {name!r}; choose another one"
                )
            self._database.execute(
                "insert into jobs values (:id, :kind, :name, :state, :created, :started, "
                ":finished, :reason, :asked)",
                asdict(job),
            )
        return job

    def all(self) -> list[Job]:
        """Return all jobs, the newest first."""
        with self._lock:
            rows = self._database.execute("select * from jobs order by created desc, id")
            return [Job(**dict(row)) for row in rows]

    def get(self, id: str) -> Job:  # noqa: A002 - the word of the interface
        """Return a job.

        Raises
        ------
        NotFoundError
            If there is none of this id.
        """
        with self._lock:
            row = self._database.execute("select * from jobs where id = ?", (id,)).fetchone()
        if row is None:
            raise NotFoundError(f"there is no job {id[:100]!r}; GET /api/v1/jobs lists them")
        return Job(**dict(row))

    def latest(self, kind: str, asked: Plain) -> Job | None:
        """Return the newest job of a kind with exactly this request; None if there is none."""
        same = (one for one in self.all() if one.kind == kind and json.loads(one.asked) == asked)
        return next(same, None)

    def take(self, kinds: Collection[str] | None = None) -> Job | None:
        """Mark the oldest waiting job, by default of any kind, as running and return it.

        None if none waits.
        """
        only = "" if kinds is None else f"and kind in ({', '.join('?' * len(kinds))})"
        with self._lock, self._database:
            row = self._database.execute(
                f"select * from jobs where state = 'waiting' {only} "  # noqa: S608 - only marks
                "order by created, id limit 1",
                tuple(kinds or ()),
            ).fetchone()
            if row is None:
                return None
            job = replace(Job(**dict(row)), state="running", started=time.time())
            self._database.execute(
                "update jobs set state = ?, started = ? where id = ?",
                (job.state, job.started, job.id),
            )
        return job

    def finish(self, job: Job, state: State, reason: str = "") -> bool:
        """End a job that has not ended; return whether it had not."""
        with self._lock, self._database:
            done = self._database.execute(
                "update jobs set state = ?, reason = ?, finished = ? where id = ? "
                "and state in ('waiting', 'running')",
                (state, reason, time.time(), job.id),
            )
        return done.rowcount > 0

    def outcome(self, job: Job) -> Plain | None:
        """Return how a job ended by itself; None if it did not."""
        path = self.folder(job) / OUTCOME
        if not path.is_file():
            return None
        try:
            found: Plain = read_json(path)
        except DataError:
            if path.is_file():
                raise
            return None  # removed meanwhile
        return found

    def delete(self, job: Job) -> None:
        """Remove a job that has ended, with its results.

        Raises
        ------
        RequestError
            With status 409, if it has not ended.
        """
        if not job.ended:
            raise RequestError(HTTPStatus.CONFLICT, f"job {job.id} has not ended; cancel it first")
        with self._lock, self._database:
            self._database.execute("delete from jobs where id = ?", (job.id,))
        shutil.rmtree(self.folder(job), ignore_errors=True)
        self.when_deleted(job.name)

    def models(self) -> dict[str, Path]:
        """Return the folder of each model that a job has made, by its name."""
        found = {}
        for job in self.all():
            folder = self.folder(job) / RESULT / MODEL
            if job.state == "done" and is_model(folder):
                found[job.name] = folder
        return found

    def files(self, job: Job) -> dict[str, Path]:
        """Return the result files of a job by their names, with ``/`` for folders."""
        root = self.folder(job) / RESULT
        found = {}
        for place, folders, names in os.walk(root):
            folders[:] = sorted(
                name for name in folders if not name.startswith(".") and name != _CHECKPOINT
            )
            for name in sorted(names):
                path = Path(place) / name
                if not name.startswith(".") and path.is_file() and not path.is_symlink():
                    found[path.relative_to(root).as_posix()] = path
        return found

    def _recover(self) -> None:
        """Settle, after a stop or a crash, what ran then, and remove what was never submitted."""
        for job in [one for one in self.all() if one.state == "running"]:
            outcome = self.outcome(job)
            if outcome is not None:
                self.settle(job, outcome)
            elif job.kind in self._resumes:
                with self._lock, self._database:
                    self._database.execute(
                        "update jobs set state = 'waiting' where id = ?", (job.id,)
                    )
            else:
                self.finish(
                    job,
                    "interrupted",
                    f"the server ended while it ran, and `{job.kind}` cannot be continued; submit "
                    "it again",
                )
        known: Mapping[str, Job] = {job.id: job for job in self.all()}
        for folder in self._folder.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def settle(self, job: Job, outcome: Plain) -> None:
        """End a job as its outcome says."""
        problem = outcome.get("problem")
        if problem is None:
            self.finish(job, "done")
        else:
            self.finish(job, "failed", str(problem["detail"]))
