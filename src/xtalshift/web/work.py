"""The process of a job: ``python -m xtalshift.web.work FOLDER STORE``, run in FOLDER.

It ends with the server: its standard input is a pipe that the server holds.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from xtalshift.errors import XtalshiftError
from xtalshift.files import hold_folder
from xtalshift.jsonio import Plain, read_json, write_json
from xtalshift.web.job_events import EventLog
from xtalshift.web.job_kinds import KINDS
from xtalshift.web.job_requests import MODELS, Inputs
from xtalshift.web.job_store import EVENTS, OUTCOME, TASK
from xtalshift.web.problems import problem_of


def work(folder: Path, store: Path) -> None:
    """Do the job of a folder, and write its outcome."""
    with hold_folder(folder):  # until a process that was killed has gone
        task = read_json(folder / TASK)
        kind = KINDS[task["kind"]]
        log = EventLog(folder / EVENTS)
        outcome: Plain
        try:
            asked = kind.request.from_dict(task["asked"])
            outcome = {"result": kind.do(asked, Inputs(**task["inputs"]), folder, log)}
        except KeyboardInterrupt:
            return  # cancelled: how it ended is known to the server
        except Exception as error:  # noqa: BLE001 - every failure is an outcome
            if not isinstance(error, XtalshiftError):
                traceback.print_exc()
            models = [Path(task["inputs"][role]).parent for role in MODELS if task["inputs"][role]]
            outcome = {"problem": problem_of(error, [store, *models])}
        write_json(folder / OUTCOME, outcome)


def end_with_server() -> None:
    """End this process and those that it started as soon as the server has gone."""

    def watch() -> None:
        sys.stdin.buffer.read()
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    end_with_server()
    work(Path(sys.argv[1]), Path(sys.argv[2]))
