"""A changed model is refused in one line or answers as before; it never crashes or hangs."""

import json
import math
import os
import random
from collections import Counter

import pytest

from faults.model_mutations import (
    LEGAL,
    MUTATIONS,
    OTHER,
    REFUSED,
    SAME,
    answer,
    attempt,
    read,
    signed,
    try_all,
    write,
)
from faults.saved_models import save_all, saved_classes
from xtalshift.data.transform import TRANSFORMS
from xtalshift.errors import ModelFormatError
from xtalshift.estimators.predictors import PREDICTORS
from xtalshift.methods import METHODS, MethodSettings, build_method
from xtalshift.model import FittedClassifier, FittedModel, load_model, persist

QUICK, LONG = 0, 100_000
"""Seed of the one mutation of each model and kind; number of mutations in the long test."""
FINE = {REFUSED, SAME, OTHER}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return the folder of each model of `saved_models`."""
    return save_all(tmp_path_factory.mktemp("models"))


def test_every_class_calibration_and_scale_is_among_the_models(models):
    loaded = [load_model(folder, device="cpu") for folder in models.values()]
    numbers = [model for model in loaded if isinstance(model, FittedModel)]
    classes = [model for model in loaded if isinstance(model, FittedClassifier)]
    learned = [*(one.regressor for one in numbers), *(one.classifier for one in classes)]
    adapted = next(one for one in classes if hasattr(one.classifier, "start_weight_"))
    learned += [one.predictor for one in adapted.classifier.members_]  # some stand there alone
    assert {one.regressor_name for one in learned} == saved_classes()
    assert {model.scale.name for model in numbers} == set(TRANSFORMS)
    assert {model.task for model in classes} == {"classification", "ordinal"}
    assert {model.calibration is None for model in classes} == {False, True}
    scores = [model.calibration for model in numbers if model.calibration is not None]
    assert len(scores) < len(numbers)
    assert {score.kind for score in scores} == {"absolute", "normalised", "quantile"}
    assert {score.origin for score in scores} == {"held-out", "out-of-fold", "target"}
    assert {score.X is None for score in scores} == {False, True}
    assert {model.domain is None for model in loaded} == {False, True}
    domains = [model.domain for model in loaded if model.domain is not None]
    assert max(len(domain.threshold_.groups) for domain in domains) > 1
    assert max(len(domain.novelty_.reference.index.centres) for domain in domains) > 8
    assert max(len(model.card.feature_cols) for model in loaded) > 0
    assert {model.featurizer.encoder is None for model in loaded} == {False, True}


@pytest.mark.parametrize("name", sorted({*PREDICTORS} - saved_classes()))
def test_a_class_that_cannot_be_saved_is_refused(name, models, tmp_path):
    description, arrays = read(models["dummy"])
    changed = json.loads(description)
    built = (build_method(method, MethodSettings(), seed=0) for method in METHODS)
    regressor = next(one for one in built if type(one).__name__ == name)
    plain = json.dumps(regressor.get_params(deep=False), default=str)
    changed["regressor"] = {"class": name, "parameters": json.loads(plain)}
    write(tmp_path, (signed(changed), arrays))
    with pytest.raises(ModelFormatError, match=rf"a {name} cannot be saved"):
        load_model(tmp_path)


GIB = 2**30
HUGE, MEMORY = 100 * GIB, 64 * GIB
MANY = 2**30
"""So many materials are as many as can be."""


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"x": (HUGE,)}, "'x' is unknown"),
        ({"value": (HUGE // 8,)}, "'value' has the length"),
        ({"domain.scaler.mean": (HUGE // 8,)}, "'domain.scaler.mean' has the length"),
        ({"domain.scaler.constant": (HUGE // 8,)}, "'domain.scaler.constant' has the length"),
        ({"domain.formulas": (HUGE,)}, "'domain.formulas' has the length"),
        ({"left_out.points": (HUGE // 8,)}, "'left_out.points' has the length"),
        (
            {
                "domain.local": (MANY,),
                "domain.targets": (MANY,),
                "domain.held_out": (None, MANY),
            },
            "more than the memory of this machine",
        ),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) else "",
)
def test_a_huge_file_is_refused_before_it_is_read(shapes, words, models, tmp_path, monkeypatch):
    description, arrays = read(models["dummy"])
    length = int.from_bytes(arrays[:8], "little")
    header = json.loads(arrays[8 : 8 + length])
    header.setdefault("x", {"dtype": "U8", "shape": (0,), "data_offsets": None})
    end = 0
    for name, part in header.items():
        old = part["shape"]
        if name in shapes:
            part["shape"] = [new or was for new, was in zip(shapes[name], old, strict=True)]
        sizes = {"F64": 8, "F32": 4, "I64": 8, "U32": 4, "U8": 1, "BOOL": 1}
        begin, end = end, end + sizes[part["dtype"]] * math.prod(part["shape"])
        part["data_offsets"] = [begin, end]
    if "x" not in shapes:
        del header["x"]
    text = json.dumps(header).encode()
    write(tmp_path, (description, len(text).to_bytes(8, "little") + text))
    (path,) = tmp_path.glob("arrays-*")
    os.truncate(path, 8 + len(text) + end)  # zeros that take no place on the disk
    assert 2 * path.stat().st_size > MEMORY
    monkeypatch.setattr(persist, "_memory", lambda: MEMORY)
    with pytest.raises(ModelFormatError, match=words):
        load_model(tmp_path)


def test_a_changed_model_is_refused_or_the_same(models, tmp_path):
    counts = Counter()
    for name, folder in models.items():
        files, usual = read(folder), answer(folder)
        for kind in MUTATIONS:
            result = attempt(files, kind, QUICK, usual, tmp_path)
            assert result in FINE, (name, kind)
            counts[kind, result] += 1
    for kind in MUTATIONS.keys() - LEGAL:  # the mutations are no idle ones
        assert counts[kind, REFUSED] > counts[kind, SAME]


@pytest.mark.long
@pytest.mark.timeout(0)
def test_a_changed_model_is_refused_or_the_same_in_many_tries(models):
    first = int(os.environ.get("XTALSHIFT_FUZZ_SEED", "0"))
    rng = random.Random(first)
    names, kinds = list(models), list(MUTATIONS)
    n = int(os.environ.get("XTALSHIFT_FUZZ_TRIES", LONG))
    tasks = [(rng.choice(names), rng.choice(kinds), 10**6 + first + i) for i in range(n)]
    faults = [(*task, found) for task, found in try_all(models, tasks) if found not in FINE]
    assert not faults, faults[:20]
