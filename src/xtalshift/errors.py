"""Every exception that xtalshift raises on purpose, under one root."""


class XtalshiftError(Exception):
    """Root of all errors of this package; the command line prints them as one readable line.

    Attributes
    ----------
    row : int or None
        The row at fault (1 is the first below the header), where one is.
    value : str or None
        The value at fault.
    remedy : str or None
        What to do. These three are for programs; the message says all of it.
    """

    row: int | None = None
    value: str | None = None
    remedy: str | None = None


class ConfigError(XtalshiftError, ValueError):
    """A setting is unknown, has the wrong type or contradicts another one."""


class UsageError(ConfigError):
    """A value of an option or setting is not one of those allowed; the message says which are."""


class ContractError(XtalshiftError, AssertionError):
    """An object does not keep the contract of its kind; `xtalshift.testing` found it."""


class NotFoundError(XtalshiftError, KeyError):
    """A name is not in a registry or catalogue; the message lists what is."""

    def __str__(self) -> str:
        """Return the plain message (``KeyError`` would print its repr)."""
        return str(self.args[0]) if self.args else ""


class DataError(XtalshiftError, ValueError):
    """A table, column or value cannot be used; the message names it and the remedy."""


class FormulaError(DataError):
    """A text is not a chemical formula that can be featurized.

    Attributes
    ----------
    likely : str
        The formula that was probably meant; an empty text if there is none.
    """

    likely: str = ""


class FetchError(XtalshiftError, OSError):
    """A data set could not be downloaded or does not match its checksum."""


class SplitError(XtalshiftError, ValueError):
    """A split is impossible for this table; the message says what is possible.

    Attributes
    ----------
    split : str
        Name of the split, where a benchmark has several; an empty text if it is not known.
    """

    split: str = ""


class LeakageError(SplitError):
    """A split breaks a rule that it promises, such as a formula on both sides."""


class ModelFormatError(XtalshiftError, ValueError):
    """A saved model is truncated, altered, or of a newer format than this version reads."""


class TrainingError(XtalshiftError, RuntimeError):
    """Training cannot go on, for instance because the loss is not finite."""


class WorkerDiedError(XtalshiftError, RuntimeError):
    """A worker died twice on the same item, for instance for lack of memory, or all workers did."""


class NotConformalizedError(XtalshiftError, ValueError, AttributeError):
    """Intervals were asked of a model that has none; as scikit-learn's own `NotFittedError`."""
