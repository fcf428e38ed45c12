"""A client of ``xtalshift serve``, with the names of the package."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx

from xtalshift import errors
from xtalshift.files import replacing
from xtalshift.jsonio import Plain

if TYPE_CHECKING:
    import pandas as pd

_API = "/api/v1"
_PARQUET = "application/vnd.apache.parquet"
_PIECE = 2**18
_TABLES = ("candidates", "source", "structures", "stability_table")
"""What a request can name besides its table: files, which are sent."""
_ENDED = ("done", "failed", "cancelled", "interrupted")


class Client:
    """Talks to a server; its errors are those of the package, with the same words.

    Parameters
    ----------
    url : str
        Address of the server.
    token : str, optional
        Its token.
    timeout : float
        Seconds to wait for the next part of an answer.
    transport : httpx.BaseTransport, optional
        Another way to the server, such as a proxy.

    Examples
    --------
    >>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
    ...     client.predict("gaps", ["GaN", "LiFePO4"])
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        token: str | None = None,
        timeout: float = 600.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(
            base_url=url, headers=headers, timeout=timeout, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def models(self) -> list[Plain]:
        """Return what is known of each model: ``name``, ``target``, ``unit``, ``method`` ..."""
        found: list[Plain] = self._ask("GET", "/models").json()
        return found

    def model(self, name: str) -> Plain:
        """Return the card of a model."""
        found: Plain = self._ask("GET", f"/models/{name}").json()
        return found

    def datasets(self) -> list[Plain]:
        """Return the data sets that the server knows by name."""
        found: list[Plain] = self._ask("GET", "/datasets").json()
        return found

    def predict(
        self,
        model: str,
        formulas: Sequence[str],
        *,
        level: float = 0.9,
        given: Mapping[str, float] | None = None,
        explain: bool = False,
    ) -> pd.DataFrame:
        """Return the predictions of formulas, a row each, as `Predictions.frame` has them.

        Parameters
        ----------
        model : str
            Name of the model.
        formulas : sequence of str, length n
            Formulas.
        level : float
            Level of the intervals, in (0, 1).
        given : mapping, optional
            Value of each further column of the model, the same for all formulas.
        explain : bool
            Whether to add a column of reasons.

        Raises
        ------
        XtalshiftError
            As the command; `DataError` for one text, which is no list of formulas.
        """
        import pandas as pd

        asked = {"formulas": _as_list(formulas), "level": level, "explain": explain}
        found = self._ask(
            "POST",
            f"/models/{model}/predict",
            json={**asked, "with": dict(given or {})},
            headers={"Accept": _PARQUET},
        )
        return pd.read_parquet(io.BytesIO(found.content))

    def predict_file(self, model: str, source: Path | str, out: Path | str, **options: Any) -> None:
        """Predict a CSV or Parquet file of any length; neither is held in memory.

        Parameters
        ----------
        model : str
            Name of the model.
        source, out : Path or str
            Input, and a .csv or .parquet file that appears once it is complete.
        **options
            Those of ``xtalshift predict``: ``level``, ``intervals``, ``explain``, ``strict``,
            ``formula_col`` ...

        Raises
        ------
        XtalshiftError
            As the command.
        """
        source, out = Path(source), Path(out)
        headers = {"Content-Type": _type_of(source), "Accept": _type_of(out)}
        query = {name: _text(value) for name, value in options.items()}
        with (
            source.open("rb") as body,
            replacing(out) as part,
            self._stream(
                "POST", f"/models/{model}/predict", params=query, content=body, headers=headers
            ) as answer,
            part.open("wb") as file,
        ):
            for piece in answer.iter_bytes(_PIECE):
                file.write(piece)

    def explain(
        self,
        model: str,
        formulas: Sequence[str],
        *,
        level: float = 0.9,
        given: Mapping[str, float] | None = None,
        of_class: str | None = None,
        substitutions: int = 3,
    ) -> list[Plain]:
        """Return why formulas are predicted as they are, as `Explanation.plain` has it.

        Parameters
        ----------
        model, formulas, level, given
            As in `predict`; at most 20 formulas.
        of_class : str, optional
            Of a model of classes: the class to explain; by default the predicted one.
        substitutions : int
            Other elements: so many that raise the prediction, and that lower it.

        Returns
        -------
        list of dict
            One for each formula; of several targets, one for each formula and target.

        Raises
        ------
        XtalshiftError
            As `predict`.
        """
        asked = {
            "formulas": _as_list(formulas),
            "level": level,
            "with": dict(given or {}),
            "class": of_class,
            "substitutions": substitutions,
        }
        answer = self._ask("POST", f"/models/{model}/explain", json=asked).json()
        found: list[Plain] = answer["explanations"]
        return found

    def send(self, table: Path | str) -> str:
        """Send a table, or an archive of structures, and return its id for the jobs."""
        path = Path(table)
        with path.open("rb") as body:
            found = self._ask(
                "POST",
                "/tables",
                params={"name": path.name},
                content=body,
                headers={"Content-Type": "application/octet-stream"},
            )
        return str(found.json()["id"])

    def tables(self) -> list[Plain]:
        """Return the tables that the server keeps."""
        found: list[Plain] = self._ask("GET", "/tables").json()
        return found

    def delete_table(self, id: str) -> None:  # noqa: A002 - the word of the interface
        """Delete a table; jobs keep their copy."""
        self._ask("DELETE", f"/tables/{id}")

    def check(self, table: Path | str, **asked: Any) -> RemoteJob:
        """Begin a check; see `train`."""
        return self._submit("check", table, asked)

    def train(self, table: Path | str, **asked: Any) -> RemoteJob:
        """Begin a training.

        Parameters
        ----------
        table : Path or str
            A file, which is sent; the id of a table that was sent; or the name of a data set.
        **asked
            ``target``, ``unit``, ``method``, ``name`` of the model, ``settings`` ...; docs/serve.md
            and the OpenAPI description of the server list all.

        Raises
        ------
        XtalshiftError
            If the request is wrong; errors of the work itself are raised by `RemoteJob.wait`.
        """
        return self._submit("train", table, asked)

    def adapt(self, model: str, table: Path | str, **asked: Any) -> RemoteJob:
        """Begin an adaptation of a model; see `train`."""
        return self._submit("adapt", table, {"model": model, **asked})

    def calibrate(self, model: str, table: Path | str, **asked: Any) -> RemoteJob:
        """Begin a calibration of the intervals of a model; see `train`."""
        return self._submit("calibrate", table, {"model": model, **asked})

    def run(self, table: Path | str, **asked: Any) -> RemoteJob:
        """Begin a comparison of methods; see `train`."""
        return self._submit("run", table, asked)

    def suggest(
        self,
        model: str,
        candidates: Path | str,
        n: int = 50,
        *,
        measured: Sequence[Path | str] = (),
        **asked: Any,
    ) -> RemoteJob:
        """Begin to choose what to measure next; ``suggestions.csv`` is among its files.

        Parameters
        ----------
        model : str
            Name of the model.
        candidates : Path or str
            See `train`.
        n : int
            Number of suggestions.
        measured : sequence of Path or str
            Tables of measured materials, as `candidates`.
        **asked
            The options of ``xtalshift suggest``, with underscores: ``toward``, ``in_domain``,
            ``goal`` ...; ``of_class`` for ``--class``.

        Raises
        ------
        XtalshiftError
            As `train`.
        """
        own = {"model": model, "n": n, "measured": list(measured), **_renamed(asked)}
        return self._submit("suggest", candidates, own)

    def screen(
        self, model: str, table: Path | str, *, top: int | None = None, **asked: Any
    ) -> RemoteJob:
        """Begin a screening; ``parts/*.parquet`` and ``top.csv`` are among its files.

        Parameters
        ----------
        model : str
            Name of the model.
        table : Path or str
            See `train`.
        top : int, optional
            Number of best rows to list.
        **asked
            The options of ``xtalshift screen``, with underscores: ``lowest``, ``distinct``,
            ``goal`` ...; ``of_class`` for ``--class``.

        Raises
        ------
        XtalshiftError
            As `train`.
        """
        return self._submit("screen", table, {"model": model, "top": top, **_renamed(asked)})

    def jobs(self) -> list[RemoteJob]:
        """Return all jobs, the newest first."""
        found = self._ask("GET", "/jobs").json()
        return [RemoteJob(self, one["id"], one) for one in found]

    def job(self, id: str) -> RemoteJob:  # noqa: A002
        """Return a job."""
        return RemoteJob(self, id, self._ask("GET", f"/jobs/{id}").json())

    def _submit(self, kind: str, table: Path | str, asked: Plain) -> RemoteJob:
        files = {"table": table, **{name: asked.get(name) for name in _TABLES}}
        sent: Plain = {name: self._known(one) for name, one in files.items() if one is not None}
        if asked.get("measured"):
            sent["measured"] = [self._known(one) for one in asked["measured"]]
        given = {name: value for name, value in asked.items() if value is not None}
        found = self._ask("POST", f"/jobs/{kind}", json={**given, **sent}).json()
        return RemoteJob(self, found["id"], found)

    def _known(self, table: Path | str) -> str:
        """Return the name of a table that the server knows; a file is sent."""
        return self.send(table) if Path(table).is_file() else str(table)

    def _ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        with self._stream(method, path, **how) as answer:
            answer.read()
            return answer

    @contextmanager
    def _stream(self, method: str, path: str, **how: Any) -> Iterator[httpx.Response]:
        """Yield an answer, whose body is not read yet.

        Raises
        ------
        XtalshiftError
            If the server refuses, or cannot be reached.
        """
        try:
            with self._http.stream(method, f"{_API}{path}", **how) as answer:
                if answer.is_error:
                    answer.read()
                    raise _error_of(answer)
                yield answer
        except httpx.HTTPError as error:
            raise errors.FetchError(
                f"the server at {self._http.base_url} does not answer ({error}); is it running?"
            ) from error


@dataclass
class RemoteJob:
    """A job of a server."""

    client: Client = field(repr=False)
    id: str
    said: Plain = field(repr=False)
    """What the server said of it last: ``state``, ``reason``, ``result`` ..."""

    @property
    def state(self) -> str:
        """``waiting``, ``running``, ``done``, ``failed``, ``cancelled`` or ``interrupted``."""
        return str(self.said["state"])

    def events(self) -> Iterator[tuple[str, Plain]]:
        """Yield its events as they come, each with its kind, until it has ended."""
        with self.client._stream("GET", f"/jobs/{self.id}/events") as answer:  # noqa: SLF001
            kind = ""
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    values = json.loads(line.removeprefix("data: "))
                    if kind == "state":
                        self.said = values
                    yield kind, values

    def wait(self) -> Self:
        """Wait until it is done.

        Raises
        ------
        XtalshiftError
            If it ends otherwise: of the class and with the words of the command.
        """
        while self.state not in _ENDED:
            for _ in self.events():
                pass
        if self.state != "done":
            problem = self.said.get("problem")
            raise (
                errors.TrainingError(f"job {self.id} is {self.state}: {self.said['reason']}")
                if problem is None
                else _error_like(problem)
            )
        return self

    def cancel(self) -> None:
        """Cancel it."""
        self.said = self.client._ask("POST", f"/jobs/{self.id}/cancel").json()  # noqa: SLF001

    def delete(self) -> None:
        """Delete it, with its results, once it has ended."""
        self.client._ask("DELETE", f"/jobs/{self.id}")  # noqa: SLF001

    def files(self) -> list[str]:
        """Return the names of its result files."""
        found = self.client._ask("GET", f"/jobs/{self.id}/files").json()  # noqa: SLF001
        return [str(one["name"]) for one in found]

    def download(self, name: str, out: Path | str) -> Path:
        """Write a result file to a place, and return it."""
        path = f"/jobs/{self.id}/files/{name}"
        with (
            replacing(Path(out)) as part,
            self.client._stream("GET", path) as answer,  # noqa: SLF001
            part.open("wb") as file,
        ):
            for piece in answer.iter_bytes(_PIECE):
                file.write(piece)
        return Path(out)


def _as_list(formulas: Sequence[str]) -> list[str]:
    if isinstance(formulas, str):
        raise errors.DataError(
            f"{formulas[:60]!r} is no list of formulas; for one formula write [formula], for a "
            "file predict_file"
        )
    return list(formulas)


def _type_of(path: Path) -> str:
    kinds = {".csv": "text/csv", ".parquet": _PARQUET}
    if path.suffix.lower() not in kinds:
        raise errors.DataError(f"{path}: the name of the file must end in {' or '.join(kinds)}")
    return kinds[path.suffix.lower()]


def _renamed(asked: Plain) -> Plain:
    """Return options by the names of the interface, of which one is a word of Python."""
    return {"class" if name == "of_class" else name: value for name, value in asked.items()}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _error_of(answer: httpx.Response) -> errors.XtalshiftError:
    """Return the error that an answer tells."""
    try:
        plain = answer.json()
    except ValueError:
        plain = None
    if not isinstance(plain, dict) or "title" not in plain:
        return errors.FetchError(f"{answer.url} answered {answer.status_code}, in no known form")
    return _error_like(plain)


def _error_like(problem: Plain) -> errors.XtalshiftError:
    """Return the error of which a server made problem details."""
    kind = getattr(errors, str(problem["title"]), errors.ConfigError)
    error: errors.XtalshiftError = kind(str(problem.get("detail", "")))
    for name in ("row", "value", "remedy"):
        if name in problem:
            setattr(error, name, problem[name])
    return error
