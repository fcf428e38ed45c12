"""The user's own methods, from Python files.

A file either registers methods by name (`xtalshift.methods.register_method`), or has an estimator
or a function that returns one; ``own.py:forest`` is the method of the name ``forest`` in such a
file.
"""

from __future__ import annotations

import hashlib
import inspect
import linecache
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from xtalshift.errors import ConfigError, NotFoundError, WorkerDiedError
from xtalshift.methods import METHODS, MethodSettings
from xtalshift.methods.registry import Method
from xtalshift.parallel import Policy
from xtalshift.parallel.processes import ProcessExecutor
from xtalshift.registry import near_miss

if TYPE_CHECKING:
    from xtalshift.estimators.scikit import Estimator

PLUGIN_PREFIX = "xtalshift_plugin_"


def split_own(name: str) -> tuple[str, str] | None:
    """Return file and name of a method such as ``own.py:forest``; None for one of the registry.

    Raises
    ------
    ConfigError
        If it is a file without a name.
    """
    path, colon, own = name.rpartition(":")
    if colon and path.endswith(".py"):
        if not own.isidentifier():
            raise ConfigError(f"{name}: {own!r} is no name in Python; write {path}:NAME")
        return path, own
    if name.endswith(".py"):
        raise ConfigError(
            f"{name} names a file but no method; write {name}:NAME, the name of an estimator in "
            "it, or of a function that returns one"
        )
    return None


def registered_name(name: str) -> str:
    """Return the key of a method in `METHODS`: one's own without the folder of its file."""
    found = split_own(name)
    return name if found is None else f"{Path(found[0]).name}:{found[1]}"


def shown_name(name: str) -> str:
    """Return the name of a method in tables: one's own without its file."""
    found = split_own(name)
    return name if found is None else found[1]


def own_methods(names: Iterable[str]) -> tuple[str, ...]:
    """Return the keys in `METHODS` of those methods that are one's own."""
    return tuple(registered_name(name) for name in names if split_own(name) is not None)


def own_files(names: Iterable[str]) -> tuple[str, ...]:
    """Return the files of those methods that are one's own, each once."""
    return tuple(dict.fromkeys(found[0] for name in names if (found := split_own(name))))


def read_plugins(names: tuple[str, ...], folder: Path) -> dict[str, str]:
    """Return the source of each plugin by file name.

    Parameters
    ----------
    names : tuple of str
        Python files, relative to `folder`.
    folder : Path
        Folder of the specification.

    Raises
    ------
    ConfigError
        If a file cannot be read, is no Python file, or has the name of another one.
    """
    sources: dict[str, str] = {}
    for name in names:
        path = folder / name
        if path.name in {Path(other).name for other in sources}:
            raise ConfigError(f"two plugins have the name {path.name}; rename one of the files")
        if path.suffix != ".py":
            raise ConfigError(f"the plugin {path} is no Python file; its name must end in .py")
        try:
            sources[name] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the plugin {path}: {error}") from error
    return sources


def use_plugins(
    names: tuple[str, ...], folder: Path, methods: Sequence[str] = ()
) -> dict[str, str]:
    """Read plugins, try each in a process of its own, and load them; return their sources.

    A plugin that ends its process ends only the one in which it is tried. Those `methods` that are
    one's own have their file among `names`; they are registered and, once, built. The errors are
    those of `read_plugins`, `load_plugins` and `register_own`.
    """
    sources = read_plugins(names, folder)
    for name, text in sources.items():
        own = tuple(method for method in methods if name in own_files([method]))
        (outcome,) = ProcessExecutor().map(
            _load_and_build, [({name: text}, own)], policy=Policy(fresh=True)
        )
        if isinstance(outcome.error, WorkerDiedError):
            raise ConfigError(f"the plugin {name} failed: {outcome.error}")
        if outcome.error is not None:
            raise outcome.error
    load_plugins(sources)
    register_own(methods)
    return sources


def _load_and_build(given: tuple[dict[str, str], tuple[str, ...]]) -> None:
    sources, methods = given
    load_plugins(sources)
    register_own(methods)
    for name in own_methods(methods):
        METHODS[name].build(MethodSettings(), 0)


def register_own(methods: Iterable[str]) -> None:
    """Register methods such as ``own.py:forest``, whose files have been loaded; others are skipped.

    Raises
    ------
    NotFoundError
        If a file has nothing of that name; the message says what it has.
    ConfigError
        If that is neither an estimator nor a function.
    """
    for method in methods:
        found = split_own(method)
        key = registered_name(method)
        if found is None or key in METHODS:
            continue
        path, name = found
        module = next(one for one in _loaded() if Path(_file(one)).name == Path(path).name)
        offered = {
            one
            for one, value in vars(module).items()
            if (isinstance(value, FunctionType) and value.__module__ == module.__name__)
            or (hasattr(value, "fit") and not isinstance(value, type))
        }
        value = getattr(module, name, None)
        if value is None:
            raise NotFoundError(
                f"{path} has no {name!r}{near_miss(name, offered)}; it has: "
                f"{', '.join(sorted(offered)) or 'no estimator and no function'}"
            )
        built = OwnMethod(key, value)
        METHODS.add(key, Method(built, summary=f"your own, from {path}", home=module.__name__))


class OwnMethod:
    """Builds the regressor of the user's own method: `value` is an estimator or a function."""

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value

    def __call__(self, settings: MethodSettings, seed: int | None) -> Estimator:
        """Return the estimator: a copy, or what the function returns.

        Raises
        ------
        ConfigError
            If it is no regressor, or the function fails or takes other arguments.
        """
        from sklearn.base import clone

        from xtalshift.estimators.scikit import check_estimator

        value: Any = self.value
        if isinstance(value, FunctionType):
            takes = inspect.signature(value)
            given = next((one for one in ((settings, seed), ()) if _fits(takes, one)), None)
            if given is None:
                raise ConfigError(
                    f"the function {self.name} takes {takes}; it must take (settings, seed) or "
                    "nothing, and return an estimator"
                )
            try:
                value = value(*given)
            except (Exception, SystemExit) as error:
                raise ConfigError(f"{self.name} failed: {type(error).__name__}: {error}") from error
        check_estimator(value, self.name)
        copied: Estimator = clone(value, safe=False)
        return copied


def _fits(takes: inspect.Signature, given: tuple[Any, ...]) -> bool:
    try:
        takes.bind(*given)
    except TypeError:
        return False
    return True


def load_plugins(sources: dict[str, str]) -> None:
    """Run plugins that have not run in this process, so that they register their methods.

    The source text is run instead of the file, which workers on other machines do not have. An
    edited plugin replaces the methods that it registered before.

    Parameters
    ----------
    sources : dict of str
        Source by file name.

    Raises
    ------
    ConfigError
        If a plugin fails.
    """
    for name, text in sources.items():
        known = hashlib.sha256(f"{Path(name).name}\n{text}".encode())
        module_name = PLUGIN_PREFIX + known.hexdigest()[:16]
        if module_name in sys.modules:
            continue
        _forget(name)
        module = ModuleType(module_name)
        # where tracebacks and `inspect` look for the source
        shown = f"<plugin {name}>"
        module.__file__ = shown
        linecache.cache[shown] = (len(text), None, text.splitlines(keepends=True), shown)
        sys.modules[module_name] = module
        try:
            exec(compile(text, shown, "exec"), module.__dict__)  # noqa: S102 - the user's own code
        except BaseException as error:  # also `sys.exit`
            _forget(name)
            raise ConfigError(
                f"the plugin {name} failed: {type(error).__name__}: {error}"
            ) from error


def _loaded() -> list[ModuleType]:
    """Return the plugins that have run in this process."""
    return [
        module
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith(PLUGIN_PREFIX)
    ]


def _file(module: ModuleType) -> str:
    """Return the name of the file of a plugin, as it was given."""
    return str(module.__file__).removeprefix("<plugin ").removesuffix(">")


def _forget(name: str) -> None:
    """Remove the methods of this plugin, whatever its text was."""
    for module in [one for one in _loaded() if Path(_file(one)).name == Path(name).name]:
        for method in list(METHODS):
            if METHODS[method].module == module.__name__:
                METHODS.remove(method)
        del sys.modules[module.__name__]
