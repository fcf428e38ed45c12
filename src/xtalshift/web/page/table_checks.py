"""The check of all rows of a table, begun as soon as the table is there or is read anew."""

from __future__ import annotations

from dataclasses import dataclass

from xtalshift.jsonio import Plain
from xtalshift.web.job_requests import CheckRequest
from xtalshift.web.job_results import shown
from xtalshift.web.job_routes import JobDesk
from xtalshift.web.job_runner import JobRunner
from xtalshift.web.job_store import Job, JobStore
from xtalshift.web.table_settings import TableSettings
from xtalshift.web.tables import StoredTable


@dataclass(frozen=True)
class TableChecks:
    """Checks of tables, one for each way in which a table is read."""

    desk: JobDesk
    jobs: JobStore
    runner: JobRunner

    def begin(self, table: StoredTable) -> None:
        """Begin the check of a table, unless there is one for the same reading.

        Raises
        ------
        XtalshiftError
            If the server takes no more jobs.
        """
        job = self.latest(table)
        if job is None or job.state in {"cancelled", "interrupted"}:
            self.desk.add("check", CheckRequest.from_dict(_asked(table)), {})
            self.runner.wake()

    def latest(self, table: StoredTable) -> Job | None:
        """Return the newest check of a table as it is read now."""
        return self.jobs.latest("check", _asked(table))

    def shown(self, table: StoredTable) -> Plain | None:
        """Return this check as REST shows it."""
        job = self.latest(table)
        return None if job is None else shown(job, self.jobs)


def said_of(table: StoredTable) -> TableSettings:
    """Return what a person has said of a table."""
    return TableSettings.from_dict(table.reading)


def _asked(table: StoredTable) -> Plain:
    return said_of(table).asked(table.id)
