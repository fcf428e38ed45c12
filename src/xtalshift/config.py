"""The base of all settings: frozen, validated, and the same in Python and TOML."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from xtalshift.errors import ConfigError, UsageError
from xtalshift.registry import near_miss

LARGEST = 2**31 - 1
"""Largest whole number of a setting: libraries count in 32 bits."""
_MOST_SAID = 20
"""What a message says of settings that are wrong; the others are counted."""


class Settings(BaseModel):
    """A frozen group of settings; unknown names are refused with a near-miss hint.

    Numbers are finite, whole numbers at most `LARGEST` in size.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @field_validator("*")
    @classmethod
    def _countable(cls, value: object) -> object:
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"Input should be at most {LARGEST:,}")
        return value

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Validate plain values.

        Parameters
        ----------
        values : dict
            Nested plain values, as a TOML file holds them.

        Raises
        ------
        UsageError
            If a name is unknown or a value is not allowed; the message names the setting and what
            is allowed.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(_explain(cls, error)) from error

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Read a TOML file.

        Raises
        ------
        ConfigError
            If the file is missing, is not TOML, or holds a wrong setting.
        """
        return cls.from_dict(read_toml(path))

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values; unset (None) settings are left out, as TOML has no null."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_toml(self) -> str:
        """Return the TOML text that `from_toml` reads back to an equal object."""
        import tomli_w  # many commands neither read nor write TOML

        return tomli_w.dumps(self.to_dict())


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file into plain values; failures are `ConfigError`."""
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def parse_assignment(text: str, option: str = "--set") -> tuple[list[str], Any]:
    """Parse ``a.b=value``; the value is read as TOML, and as plain text where that fails.

    Parameters
    ----------
    text : str
        For instance ``"erm.epochs=20"`` or ``"split.family=O"``.
    option : str
        Where it was given, for the message.

    Returns
    -------
    keys : list of str
        The path of the setting.
    value : object
        The parsed value.

    Raises
    ------
    UsageError
        If there is no ``=``.
    """
    import tomllib

    name, equals, raw = text.partition("=")
    if not equals or not name.strip():
        example = "erm.epochs=20" if option == "--set" else "n_clusters=20"
        raise UsageError(f"{option} {text!r}: expected name=value, such as {example}")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except (ValueError, RecursionError):
        value = raw.strip()
    return name.strip().split("."), value


def set_nested(values: dict[str, Any], keys: list[str], value: Any) -> None:
    """Put `value` at the path `keys` of nested dictionaries, making the levels that are missing."""
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{'.'.join(keys)}: {key!r} is a value, not a group of settings")
    values[keys[-1]] = value


def split_names(text: str) -> list[str]:
    """Return the names in a comma-separated text; one with a comma stands in double quotes.

    Raises
    ------
    UsageError
        If a quote is not closed.

    Examples
    --------
    >>> split_names('"T, K", pressure')
    ['T, K', 'pressure']
    """
    try:
        (names,) = csv.reader([text], skipinitialspace=True, strict=True) if text else [[]]
    except (csv.Error, ValueError) as error:
        raise UsageError(
            "a quote is not closed; put double quotes around a name with a comma, as in "
            "'\"T, K\",pressure'"
        ) from error
    return [name.strip() for name in names if name.strip()]


def _explain(cls: type[BaseModel], error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_url=False)[:_MOST_SAID]:
        path = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            fields = _fields_at(cls, item["loc"][:-1])
            hint = near_miss(str(item["loc"][-1]), fields)
            lines.append(f"unknown setting {path!r}{hint or ', known: ' + ', '.join(fields)}")
        elif item["type"] == "missing":
            lines.append(f"setting {path!r} is missing{_example(cls, item['loc'])}")
        else:
            message = item["msg"].removeprefix("Value error, ")
            if item["type"] == "literal_error":
                choices = re.findall(r"'([^']+)'", item["ctx"]["expected"])
                message += near_miss(str(item["input"]), choices)
            # what concerns several settings names them itself
            lines.append(f"setting {path!r} = {item['input']!r}: {message}" if path else message)
    if (more := error.error_count() - len(lines)) > 0:
        lines.append(f"and {more:,} more")
    return "; ".join(lines)


def _example(cls: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Return an example of the setting at a place, as JSON, if its field has one."""
    name = str(location[-1])
    fields = {field.alias or key: field for key, field in cls.model_fields.items()}
    examples = fields[name].examples if len(location) == 1 and name in fields else None
    return f"; for example {json.dumps({name: examples[0]})}" if examples else ""


def _fields_at(cls: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        field = cls.model_fields.get(str(part))
        kind = field.annotation if field else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        cls = kind
    return list(cls.model_fields)
