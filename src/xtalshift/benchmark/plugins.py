"""The user's own methods, from Python files."""

from __future__ import annotations

import hashlib
import linecache
import sys
from pathlib import Path
from types import ModuleType

from xtalshift.errors import ConfigError, WorkerDiedError
from xtalshift.methods import METHODS
from xtalshift.parallel import Policy
from xtalshift.parallel.processes import ProcessExecutor

PLUGIN_PREFIX = "xtalshift_plugin_"


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
        If a file cannot be read, or is no Python file.
    """
    sources = {}
    for name in names:
        path = folder / name
        if path.suffix != ".py":
            raise ConfigError(f"the plugin {path} is no Python file; its name must end in .py")
        try:
            sources[name] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the plugin {path}: {error}") from error
    return sources


def use_plugins(names: tuple[str, ...], folder: Path) -> dict[str, str]:
    """Read plugins, try each in a process of its own, and load them; return their sources.

    A plugin that ends its process ends only the one in which it is tried. The errors are those of
    `read_plugins` and `load_plugins`.
    """
    sources = read_plugins(names, folder)
    for name, text in sources.items():
        found = ProcessExecutor().map(load_plugins, [{name: text}], policy=Policy(fresh=True))
        (outcome,) = found
        if isinstance(outcome.error, WorkerDiedError):
            raise ConfigError(f"the plugin {name} failed: {outcome.error}")
        if outcome.error is not None:
            raise outcome.error
    load_plugins(sources)
    return sources


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
        module_name = PLUGIN_PREFIX + hashlib.sha256(text.encode()).hexdigest()[:16]
        if module_name in sys.modules:
            continue
        _forget(name)
        module = ModuleType(module_name)
        # where tracebacks and `inspect` look for the source
        shown = _shown(name)
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


def _shown(name: str) -> str:
    return f"<plugin {name}>"


def _forget(name: str) -> None:
    """Remove the methods that this plugin registered, whatever its text was."""
    old = [
        module
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith(PLUGIN_PREFIX)
        and module.__file__ == _shown(name)
    ]
    for module in old:
        for method in list(METHODS):
            if METHODS[method].module == module.__name__:
                METHODS.remove(method)
        del sys.modules[module.__name__]
