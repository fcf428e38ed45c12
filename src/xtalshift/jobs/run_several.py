"""The main job for several targets: a run of each, and their errors together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xtalshift.benchmark.records import RESULTS_FILE
from xtalshift.benchmark.several_results import SeveralResults, is_several, join_results, to_plain
from xtalshift.benchmark.worker import MODEL_FOLDER
from xtalshift.data.settings import DataConfig
from xtalshift.data.several import read_settings
from xtalshift.errors import ConfigError, XtalshiftError
from xtalshift.jobs.run import CONFIG_FILE, run
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.jsonio import write_json
from xtalshift.methods import METHODS
from xtalshift.model import load_model
from xtalshift.model.several import FittedModels
from xtalshift.model.several_folder import save_models, target_folder
from xtalshift.model.several_inputs import settings_of_kinds
from xtalshift.parallel import Executor
from xtalshift.progress import NO_PROGRESS, Progress


def run_several(
    config: RunConfig,
    targets: Mapping[str, DataConfig],
    out: Path,
    executor: Executor | None = None,
    *,
    progress: Progress = NO_PROGRESS,
    overwrite: bool = False,
) -> SeveralResults:
    """Run every method on every split, seed and target, and write the results.

    Each target is a run of its own, as `xtalshift.jobs.run.run` does it for that target alone, in a
    folder of its own: its rows, splits and model are its own too. A method that learns targets
    together (``multi-task``) is there fitted to all, but for what is known of held-out materials,
    and judged by that target. Of a target that is a class, methods for numbers are left out.

    Parameters
    ----------
    config : RunConfig
        Settings.
    targets : mapping of str to DataConfig
        See `xtalshift.data.several.settings_of_targets`.
    out : Path
        Folder for the runs, ``results.json`` of all, and ``model/``, the models of all targets. The
        same command continues where it was interrupted.
    executor, progress, overwrite
        As in `xtalshift.jobs.run.run`.

    Raises
    ------
    ConfigError
        If the folder holds something else, or rows of two fidelities are asked for.
    XtalshiftError
        As `xtalshift.jobs.run.run`; the message names the target.
    """
    if config.fidelity.column is not None:
        raise ConfigError("--fidelity-col is for one target; name it alone")
    out = Path(out)
    held = (out / CONFIG_FILE).exists() or (out / RESULTS_FILE).exists()
    if held and not overwrite and not is_several(out):
        raise ConfigError(
            f"{out} holds a run of one target; choose another --out, or give --overwrite"
        )
    found = {}
    tables, _ = read_settings(targets, progress)
    targets = settings_of_kinds(targets, tables)
    for number, (name, data) in enumerate(targets.items(), start=1):
        folder = target_folder(number, name)
        progress.say(f"Target {name}: {out / folder}")
        own = _of_target(config, data, targets, tables[name].classes is not None, progress)
        try:
            results = run(own, out / folder, executor, progress=progress, overwrite=overwrite)
        except XtalshiftError as error:
            raise type(error)(f"target {name!r}: {error}") from error
        found[name] = (folder, results)
    whole = join_results(config.to_dict(), found)
    write_json(out / RESULTS_FILE, to_plain(whole))
    if all(one.model is not None for one in whole.targets):
        models = {one.name: load_model(out / one.folder / MODEL_FOLDER) for one in whole.targets}
        save_models(FittedModels(models), out / MODEL_FOLDER)
    return whole


def _of_target(
    config: RunConfig,
    data: DataConfig,
    targets: Mapping[str, DataConfig],
    of_classes: bool,  # noqa: FBT001
    progress: Progress,
) -> RunConfig:
    """Return the settings of the run of one target."""
    facts = {name: METHODS[name] for name in config.methods if name in METHODS}
    changes: dict[str, object] = {"data": data}
    if of_classes:
        left_out = [name for name, one in facts.items() if one.classify is None]
        if left_out and config.methods != RunConfig().methods:  # the usual ones are chosen later
            progress.say(f"  {data.target} is a class: {', '.join(left_out)} is left out")
            rest = tuple(name for name in config.methods if name not in left_out)
            changes["methods"] = rest
    elif any(one.joint for one in facts.values()):
        changes["targets"] = {name: one.unit for name, one in targets.items()}
    return config.model_copy(update=changes)
