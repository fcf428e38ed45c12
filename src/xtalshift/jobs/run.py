"""The main job: a benchmark that compares methods in and out of distribution."""

from __future__ import annotations

import shutil
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xtalshift.benchmark.answer import Answer, ClassAnswer
from xtalshift.benchmark.choice import choose
from xtalshift.benchmark.engine import BenchmarkRun, RunOptions, run_locked
from xtalshift.benchmark.explain_settings import ExplainConfig
from xtalshift.benchmark.explanation import Explanation
from xtalshift.benchmark.plugins import shown_name
from xtalshift.benchmark.problem import FoldRows
from xtalshift.benchmark.records import (
    CANDIDATES_FILE,
    CANDIDATES_TEXT,
    CHOICE_FILE,
    HISTORY_FILE,
    PREDICTIONS_FILE,
    RESULTS_FILE,
    TAIL_MEASURES,
    TaskRecord,
)
from xtalshift.benchmark.run_results import (
    History,
    Model,
    Record,
    RunProvenance,
    RunResults,
    Split,
)
from xtalshift.benchmark.spec import BenchmarkData, BenchmarkSpec, BenchmarkSplit, MethodEntry
from xtalshift.benchmark.store import RECORDS_FILE, describe_kept
from xtalshift.benchmark.tasks import TaskContext
from xtalshift.benchmark.worker import MODEL_FOLDER, task_folder
from xtalshift.data import Dataset
from xtalshift.data.fidelities import part_fidelities
from xtalshift.data.readers import read_configured
from xtalshift.data.writers import write_frame
from xtalshift.errors import ConfigError, SplitError
from xtalshift.featurize.blocks import needs_structures
from xtalshift.featurize.known_targets import find_known_target
from xtalshift.featurize.pretrained import Overlap, count_overlap, encoder_of
from xtalshift.files import explained, lock_folder, replace_file
from xtalshift.jobs.explain import EXPLANATION_FILE, explain
from xtalshift.jobs.judge_settings import FAST
from xtalshift.jobs.judge_table import PROXIES_FOLDER, judge_table, read_candidates
from xtalshift.jobs.refit import REFIT_FILE, RefitError, refit
from xtalshift.jobs.run_settings import RunConfig, SplitConfig
from xtalshift.jsonio import Plain, read_json, to_json, write_json
from xtalshift.methods import METHODS, MethodSettings, classifying_methods, features_of
from xtalshift.model.inputs import settle_structures
from xtalshift.parallel import Executor, make_executor
from xtalshift.progress import NO_PROGRESS, Progress, resumable
from xtalshift.splits.feature_space import embed
from xtalshift.splits.leave_out import count_elements, usual_family

CONFIG_FILE = "config.toml"
MAP_FILE = "map.parquet"
ID_SPLIT = "random"
FAMILY = "F"
"""The family that is held out unless another is named, or a file has no row of it."""
TABLE = "table"
"""Name of the only table of the benchmark."""
OUTPUT_FILES = (
    RESULTS_FILE, CONFIG_FILE, PREDICTIONS_FILE, MAP_FILE, RECORDS_FILE, "report.html",
    "summary.json", "benchmark.toml", "run.json", "audit.json", REFIT_FILE, EXPLANATION_FILE,
    CANDIDATES_FILE, CANDIDATES_TEXT,
)  # fmt: skip
OUTPUT_FOLDERS = ("tasks", MODEL_FOLDER, PROXIES_FOLDER)


def run(
    config: RunConfig,
    out: Path,
    executor: Executor | None = None,
    *,
    progress: Progress = NO_PROGRESS,
    overwrite: bool = False,
) -> RunResults:
    """Run every method on every split and seed, and write the results.

    Parameters
    ----------
    config : RunConfig
        Settings.
    out : Path
        Folder for ``results.json``, ``predictions.parquet``, ``map.parquet`` and ``model/``, the
        best method fitted to all rows. A task that finished in an earlier, interrupted run of the
        same configuration is not repeated.
    executor : Executor, optional
        Runs the tasks; by default one process per core, with one thread each.
    progress : Progress
        Reports the progress of the job.
    overwrite : bool
        Whether to replace another run in the folder.

    Returns
    -------
    RunResults
        Content of ``results.json``.

    Raises
    ------
    XtalshiftError
        If the data, a split or the folder cannot be used. A method that fails is a record with
        status ``failed``.
    """
    if config.fidelity.column is not None and config.candidates is not None:
        raise ConfigError(
            "--fidelity-col and --candidates do not go together; leave one out, and predict the "
            "candidates with the model of the run"
        )
    named = [features_of(name, config.data.features) for name in config.methods if name in METHODS]
    needed = filter(needs_structures, named)
    config = config.model_copy(update={"data": settle_structures(config.data, [*needed])})
    table, given = read_configured(config.data), config
    config = _for_bounds(_for_classes(_with_family(config, table, progress), table, progress))
    spec = spec_of(config)
    wanted = None
    if config.candidates is not None:
        wanted = read_candidates(config, table.classes, progress)
    del table  # the benchmark reads its own, and this one may be large
    executor = executor or make_executor()
    out = Path(out)
    with lock_folder(out), resumable(partial(describe_kept, out)):
        replaced = _check_folder(out, config, given, overwrite=overwrite)
        try:
            done = run_locked(
                spec,
                out,
                executor,
                options=RunOptions(
                    overwrite=overwrite, retry=True, keep=True, choose=config.choice
                ),
                begin=partial(_begin_folder, out, config, replaced),
                progress=progress,
            )
        except SplitError as error:
            way_out = _way_out(config, error.split)
            raise SplitError(
                f"{str(error).rstrip('.')}. {way_out}" if way_out else error
            ) from error
        order = {shown_name(name): number for number, name in enumerate(config.methods)}
        tasks = sorted(done.records, key=lambda task: (task.seed, order[task.name]))
        done = replace(done, records=tuple(tasks))
        context = TaskContext.of(spec.model_copy(update={"threads": executor.threads}))
        settings = context.settings
        if wanted is None:
            model, answer = _fit_best(config, done, settings, out, progress), None
        else:
            model, answer = judge_table(config, wanted, done, executor, settings, out, progress)
        explanation = None
        if model is not None and any(task.name == model.method for task in tasks):
            explanation = explain(
                model.method, done, context, config.explain, config.seed, out, progress
            )
        results = _results(config, done, out, model, answer, explanation)
        frames = [
            pd.read_parquet(task_folder(out, task.id) / PREDICTIONS_FILE)
            for task in tasks
            if task.ok
        ]
        if frames:
            write_frame(pd.concat(frames, ignore_index=True), out / PREDICTIONS_FILE)
        write_frame(_map(done), out / MAP_FILE)
        # beside its counts, the intake says what follows from them
        plain = to_json(results) | {"intake": results.intake and results.intake.to_dict()}
        write_json(out / RESULTS_FILE, plain)
    return results


def _with_family(config: RunConfig, table: Dataset, progress: Progress) -> RunConfig:
    """Return the settings with the family to hold out, if the usual one is not in the file."""
    split = config.split
    if (
        split.family is not None
        or "family" not in split.active
        or not Path(config.data.dataset).is_file()
    ):
        return config
    if config.fidelity.column is not None:
        table = part_fidelities(table, config.fidelity.column, config.fidelity.values).high
    compositions = table.materials.compositions
    counts, n = count_elements(compositions), len(compositions)
    family = usual_family(counts, n)
    if FAMILY in counts or family is None:
        return config
    progress.say(
        f"No row contains {FAMILY}, which is usually held out as a family; here it is {family} "
        f"({counts[family]:,} of {n:,} rows; --family names another)"
    )
    return config.model_copy(update={"split": split.model_copy(update={"family": family})})


def _for_classes(config: RunConfig, table: Dataset, progress: Progress) -> RunConfig:
    """Return the settings without what a target that is a class does not have."""
    if table.classes is None:
        return config
    changes: dict[str, Any] = {}
    if "prior" in config.split.active and not table.ordered:
        progress.say(
            "Classes have no order, so that none is a tail: the split prior is left out (with "
            "--task ordinal and --class-order they have)"
        )
        schemes = tuple(name for name in config.split.schemes if name != "prior")
        changes["split"] = config.split.model_copy(update={"schemes": schemes})
    offered = classifying_methods()
    if config.methods == RunConfig().methods:
        changes["methods"] = tuple(name for name in config.methods if name in offered)
    if config.judge.methods == FAST:
        own = tuple(name for name in config.judging.methods if name in offered)
        changes["judge"] = config.judge.model_copy(update={"methods": own})
    return config.model_copy(update=changes)


def _for_bounds(config: RunConfig) -> RunConfig:
    """Return the settings with usual methods whose loss takes bounds, where it is to.

    Methods that the user named are refused where the benchmark begins.
    """
    if config.data.bounds != "tobit":
        return config
    able = {name for name in METHODS if METHODS[name].bounds}
    changes: dict[str, Any] = {}
    if config.methods == RunConfig().methods:
        changes["methods"] = tuple(n for n in config.methods if n in {"dummy", *able})
        if config.judge.methods == FAST:
            own = tuple(name for name in FAST if name in able)
            changes["judge"] = config.judge.model_copy(update={"methods": own})
    return config.model_copy(update=changes)


def spec_of(config: RunConfig) -> BenchmarkSpec:
    """Return the specification of the benchmark that a run executes.

    Raises
    ------
    SplitError
        If a relation shift is requested but not declared.
    """
    split = config.split
    splits = {
        name: BenchmarkSplit(scheme=scheme, params=params)
        for name, scheme, params in _schemes(split)
        if scheme != ID_SPLIT
    }
    if split.separate:
        own = BenchmarkSplit(scheme=ID_SPLIT, params={"share": split.random_share})
        splits = {ID_SPLIT: own, **splits}
    settings = {name: getattr(config, name) for name in MethodSettings.model_fields}
    return BenchmarkSpec(
        **settings,
        title=f"{config.data.dataset}: in and out of distribution",
        data={
            TABLE: BenchmarkData(
                **dict(config.data),
                flag=split.relation_flag,
                fidelity=config.fidelity,
                targets=config.targets,
            )
        },
        features=(config.data.blocks,),
        splits=splits,
        methods=tuple(
            MethodEntry(name=shown_name(name), method=name, features=config.data.features)
            for name in config.methods
        ),
        seeds=config.n_seeds,
        seed=config.seed,
        id_share=split.random_share,
        validation_share=split.validation_share,
        tail="low" if split.tail == "low" else "high",
        joint=not split.separate,
        id_name=ID_SPLIT,
        minutes=config.minutes,
        audit=False,
    )


def _schemes(split: SplitConfig) -> list[tuple[str, str, Plain]]:
    """Return name, scheme and parameters of the splits of a run."""
    params: dict[str, Plain] = {
        ID_SPLIT: {"share": split.random_share},
        "covariate": {
            "share": split.covariate_share,
            "n_neighbors": split.n_neighbors,
            "n_components": split.n_components,
            "embedding": split.embedding,
            "random_state": 0,  # the shifted sets are the same for all seeds
        },
        "prior": {"tail": split.tail, "share": split.prior_share},
        "family": {"contains": split.family or FAMILY},
    }
    if split.relation_flag is not None:
        params["relation"] = {"flags": split.relation_flag}
    elif split.relation_file is not None:
        params["relation"] = {"formulas": split.relation_file}
    found: list[tuple[str, str, Plain]] = []
    for scheme in split.active:
        if scheme not in params:
            raise SplitError(
                "you must declare a relation shift: give --relation-flag COLUMN or "
                "--relation-file FILE of formulas"
            )
        name = f"family:{split.family or FAMILY}" if scheme == "family" else scheme
        found.append((name, scheme, params[scheme]))
    return found


def _way_out(config: RunConfig, failed: str) -> str:
    """Return how to run without a split that is impossible, or an empty text if it is another."""
    scheme = failed.partition(":")[0]
    rest = [name for name in config.split.active if name not in {scheme, "relation"}]
    if scheme not in config.split.active or scheme in {ID_SPLIT, "relation"}:
        return ""
    another = "--family names another; " if scheme == "family" else ""
    return f"{another}--splits {','.join(rest)} leaves this split out"


def _check_folder(
    out: Path, config: RunConfig, given: RunConfig | None = None, *, overwrite: bool
) -> list[str]:
    """Return what a run replaces in its folder: nothing if it continues the same configuration.

    What `config` has, and `given` has not, was found in the table.

    Raises
    ------
    ConfigError
        If the folder holds another run or other files.
    """
    held = {item.name for item in out.glob("[!.]*")}  # not what a killed writer left
    # a run that was killed before its first record has only its settings
    ours = CONFIG_FILE in held and (RECORDS_FILE in held or held == {CONFIG_FILE})
    earlier = CONFIG_FILE in held and "run.json" in held
    if ours and not overwrite:
        before = RunConfig.from_toml(out / CONFIG_FILE)
        # neither the number of workers nor what is explained afterwards changes another result
        same = {"threads": 0, "explain": ExplainConfig()}
        settings = [one.model_copy(update=same).to_dict() for one in (before, config)]
        if changed := _differences(settings[0], settings[1]):
            found = [] if given is None else _differences(given.to_dict(), config.to_dict())
            of_table = (
                f", found in {config.data.dataset} where not given: have its rows, or the "
                "structures that it names, changed?"
                if {*changed} <= {*found}
                else ""
            )
            raise ConfigError(
                f"{out} holds a run with other settings ({', '.join(changed[:4])}{of_table}); "
                "choose another --out, or give --overwrite to replace it"
            )
        return []
    if held and not overwrite:
        what = "holds a run of an earlier version" if earlier else "is not empty and holds no run"
        raise ConfigError(
            f"{out} {what}; choose another --out, or give --overwrite to "
            f"{'replace it' if earlier else 'add a run to it'}"
        )
    taken = sorted(held.intersection((*OUTPUT_FILES, *OUTPUT_FOLDERS)))
    if taken and not (ours or earlier):
        raise ConfigError(
            f"{out} holds no run, but a run would replace {taken[0]!r}; choose another --out"
        )
    return taken


def _begin_folder(out: Path, config: RunConfig, replaced: list[str]) -> None:
    """Remove what a run replaces, and write its configuration.

    What tells that the folder holds a run stays to the end, so that the same command is possible
    after a kill: the settings and the records are replaced, and ``run.json`` is removed last.
    """
    with explained(out):
        for name in sorted({*replaced} - {CONFIG_FILE, RECORDS_FILE}, key="run.json".__eq__):
            path = out / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    replace_file(out / CONFIG_FILE, config.to_toml())


def _differences(old: object, new: object, name: str = "") -> list[str]:
    """Return the dotted names of the values that differ between two nested dictionaries."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [name]
    return [
        found
        for key in sorted(old.keys() | new.keys())
        for found in _differences(old.get(key), new.get(key), f"{name}.{key}".lstrip("."))
    ]


def _results(
    config: RunConfig,
    done: BenchmarkRun,
    out: Path,
    model: Model | None,
    answer: Answer | ClassAnswer | None,
    explanation: Explanation | None,
) -> RunResults:
    data = done.shared.problems[TABLE].data
    return RunResults(
        config=config.to_dict(),
        provenance=RunProvenance(**vars(done.summary.provenance), data=data.description),
        intake=data.intake,
        pretrained=_overlap(done),
        known_target=_known_target(done),
        splits=tuple(one for fold in done.shared.folds.values() for one in _splits(fold, done)),
        model=model,
        answer=answer if isinstance(answer, Answer) else None,
        class_answer=answer if isinstance(answer, ClassAnswer) else None,
        explanation=explanation,
        records=tuple(row for task in done.records for row in _rows(task, done.shared.folds)),
        histories=tuple(one for task in done.records if (one := _history(task, out))),
    )


def _rows(task: TaskRecord, folds: dict[str, FoldRows]) -> list[Record]:
    """Return the scores of a task: one record per variant and set of test rows."""
    cost: dict[str, Any] = {"seed": task.seed, "seconds": task.seconds, "status": task.status}
    if not task.ok:
        fold = folds[f"{task.data}/{task.split}/{task.fold}/{task.seed}"]
        return [
            Record(
                method=task.name,
                split=test.split,
                role=test.role,
                n=len(test.rows),
                reason=task.reason,
                **cost,
            )
            for test in fold.tests
        ]
    tails = {"n_tail", *TAIL_MEASURES}
    shown = {item.name for item in fields(Record)} - {"reason"} - tails
    pools = {(one.variant, one.split): one for one in task.results if one.role == "pool"}
    shifted = {one.split for one in task.results if one.role == "ood"}
    rows = []
    for score in task.results:
        if score.role == "pool":
            continue
        pool = pools.get((score.variant, score.split))
        of_pool = pool is not None and (score.role == "ood" or score.split not in shifted)
        row = Record(
            method=f"{task.name}:{score.variant}" if score.variant else task.name,
            **{name: value for name, value in vars(score).items() if name in shown},
            **({name: getattr(pool, name) for name in tails} if of_pool else {}),
            **cost,
        )
        rows.append(row if score.ok else replace(row, status="failed", reason=score.reason))
    return rows


def _history(task: TaskRecord, out: Path) -> History | None:
    epochs = read_json(task_folder(out, task.id) / HISTORY_FILE) if task.ok else None
    if not epochs:
        return None
    return History(task.name, task.split, task.seed, task.best_epoch, tuple(epochs))


def _fit_best(
    config: RunConfig, done: BenchmarkRun, settings: MethodSettings, out: Path, progress: Progress
) -> Model | None:
    """Fit the method with the smallest error on rows outside all test sets to all rows."""
    rows = done.shared.choice
    assert rows is not None
    data = done.shared.problems[TABLE].data
    judged = {task.name: task for task in done.records if task.ok and task.judged}
    frames = {
        name: pd.read_parquet(task_folder(out, task.id) / CHOICE_FILE)
        for name, task in judged.items()
    }
    choice = choose(frames, data.y, data.groups, rows, data.weights)
    rule, failure, unsaved = "smallest error on rows that no test set holds", None, None
    saved = {
        name: frame
        for name, frame in frames.items()
        if (task_folder(out, judged[name].id) / MODEL_FOLDER).exists()
    }
    if choice is not None and choice.method not in saved:
        unsaved = choice.method
        choice = choose(saved, data.y, data.groups, rows, data.weights) if saved else None
    if choice is not None:
        try:
            found = refit(
                config, choice.method, judged[choice.method].features, done, settings, out, progress
            )
            return found.describe(config.seed, rule=rule, unsaved=unsaved, choice=choice)
        except RefitError as error:  # the comparison stands
            failure = str(error)
            progress.say(f"{choice.method} could not be fitted to all rows: {failure}")
    for name in (MODEL_FOLDER, REFIT_FILE):  # of another choice
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if choice is None:
        return None
    return Model(choice.method, rule=rule, unsaved=unsaved, choice=choice, failure=failure)


def _overlap(done: BenchmarkRun) -> Overlap | None:
    """Return what the encoder of the methods has seen of the table, None if they use none."""
    problem = done.shared.problems[TABLE]
    found = (count_overlap(features, problem.data.groups) for features in problem.X)
    return next((one for one in found if one is not None), None)


def _known_target(done: BenchmarkRun) -> tuple[str, ...]:
    """Return why the splits are no test of the features of the methods, each reason once."""
    problem = done.shared.problems[TABLE]
    data = problem.data
    findings = (
        find_known_target(features, data.target_name, data.targets, data.materials.structures)
        for features in problem.X
    )
    return tuple(dict.fromkeys(one for found in findings for one in found))


def _splits(fold: FoldRows, done: BenchmarkRun) -> list[Split]:
    problem = done.shared.problems[TABLE]
    encoder = next(filter(None, map(encoder_of, problem.X)), None)
    groups = problem.data.groups
    return [
        Split(
            name=test.split,
            role=test.role,
            seed=fold.seed,
            fit=fold.split,
            description=fold.describe_split(test.split),
            n_train=len(fold.train),
            n_val=len(fold.val),
            n_test=len(test.rows),
            n_bounded=test.n_bounded,
            n_seen=None if encoder is None else int(encoder.knows(groups[test.rows]).sum()),
        )
        for test in fold.tests
    ]


def _map(done: BenchmarkRun) -> pd.DataFrame:
    table = done.tables[TABLE]
    points = embed(table.X, 2)
    frame = pd.DataFrame(
        {
            "id": table.data.ids,
            "formula": table.data.formulas,
            "target": table.data.y,
            "pc1": points[:, 0],
            "pc2": points[:, 1] if points.shape[1] > 1 else 0.0,
        }
    )
    for fold in done.shared.folds.values():
        for test in fold.tests:
            if test.role == "ood":
                mask = np.zeros(len(frame), dtype=bool)
                mask[test.rows] = True
                frame[f"in_{test.split}"] = mask
    return frame
