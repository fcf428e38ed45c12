"""The file of a training in progress: same bits back, nothing foreign accepted, atomic."""

import json
import math
import os
import time
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from xtalshift.errors import DataError, TrainingError
from xtalshift.nn import checkpoint as checkpoint_module
from xtalshift.nn.checkpoint import Checkpoint, copy_state

CPU = torch.device("cpu")
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16,
          torch.int64, torch.int32, torch.uint8, torch.bool)  # fmt: skip
STATE = {"model": {"w": torch.tensor([1.5, -2.0])}, "epoch": 3}


def bits(value):
    """Return nested values such that equal means the same type, dtype, shape and bits."""
    if isinstance(value, torch.Tensor):
        flat = value.detach().contiguous().flatten()
        raw = [] if value.numel() == 0 else flat.view(torch.uint8).tolist()
        return ("tensor", value.dtype, tuple(value.shape), raw)
    if isinstance(value, dict):
        return ("dict", [(type(key), key, bits(item)) for key, item in value.items()])
    if isinstance(value, list):
        return ("list", [bits(item) for item in value])
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else value.hex())
    return (type(value), value)


@st.composite
def tensors(draw):
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    dtype = draw(st.sampled_from(DTYPES))
    seed = draw(st.integers(0, 2**32))
    raw = torch.empty(math.prod(shape) * dtype.itemsize, dtype=torch.uint8)
    raw.random_(0, 2 if dtype is torch.bool else 256, generator=torch.Generator().manual_seed(seed))
    value = raw.view(dtype).view(shape)  # any bits: NaN of every kind, subnormals, inf
    return value.mT if len(shape) > 1 and draw(st.booleans()) else value


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
KEYS = st.integers(0, 9) | st.text(max_size=5) | st.sampled_from(["tensor", "items", "device"])
NESTED = st.recursive(
    PLAIN | tensors(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@pytest.fixture
def file(tmp_path):
    """Return the path of a saved checkpoint of key ``mine`` that holds `STATE`."""
    path = tmp_path / "folder" / "one.checkpoint"
    Checkpoint(path, "mine", seconds=0.0).save(STATE)
    return path


def there_and_back(state, folder):
    checkpoint = Checkpoint(folder / "c", "key", seconds=0.0)
    checkpoint.save(state)
    return Checkpoint(folder / "c", "key").load(CPU)


@given(state=st.dictionaries(KEYS, NESTED, max_size=4))
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_nested_state_comes_back_with_the_same_bits(state, tmp_path):
    assert bits(there_and_back(state, tmp_path)) == bits(state)
    assert bits(copy_state(state)) == bits(state)


def test_awkward_values_come_back_with_the_same_bits(tmp_path):
    state = {
        "empty": {}, "none": None, "flags": [True, False], "one": 1, "true": True, "text": 'ä\n"',
        "floats": [1e-300, 5e-324, 0.1 + 0.2, -0.0, math.inf, -math.inf, math.nan, 1.0],
        "large": 2**70, "optimizer": {0: {"step": torch.tensor(3.0)}, 10: {}}, "0": "not 0",
        "hard": torch.empty(0, dtype=torch.int64), "scalar": torch.tensor(1.5),
    }  # fmt: skip
    back = there_and_back(state, tmp_path)
    assert bits(back) == bits(state)
    assert list(back["optimizer"]) == [0, 10]  # no strings: the optimiser looks numbers up


def test_a_tuple_comes_back_as_a_list(tmp_path):
    assert there_and_back({"pair": (1, torch.ones(1))}, tmp_path) == {"pair": [1, torch.ones(1)]}


def test_a_generator_goes_on_where_it_was(tmp_path):
    generator = torch.Generator().manual_seed(5)
    torch.randn(7, generator=generator)  # an odd number: a cached normal is part of the state
    back = there_and_back({"generator": generator.get_state()}, tmp_path)
    other = torch.Generator()
    other.set_state(back["generator"])
    assert torch.equal(torch.randn(20, generator=other), torch.randn(20, generator=generator))


def test_an_optimizer_goes_on_where_it_was(tmp_path):
    def make(start):
        parameter = torch.nn.Parameter(start.clone())
        return parameter, torch.optim.AdamW([parameter], lr=0.1, fused=True)

    def advance(parameter, optimizer):
        for _ in range(3):
            optimizer.zero_grad()
            parameter.pow(2).sum().backward()
            optimizer.step()

    parameter, optimizer = make(torch.tensor([1.0, -3.0]))
    advance(parameter, optimizer)
    state = {"p": parameter, "optimizer": optimizer.state_dict()["state"]}
    back = there_and_back(state, tmp_path)
    resumed, second = make(back["p"])
    groups = second.state_dict()["param_groups"]
    second.load_state_dict({"state": back["optimizer"], "param_groups": groups})
    advance(parameter, optimizer)
    advance(resumed, second)
    assert torch.equal(resumed, parameter)


def test_without_a_file_there_is_no_state(tmp_path):
    assert Checkpoint(tmp_path / "none", "key").load(CPU) is None


def refusal(path, key="mine"):
    with pytest.raises(TrainingError) as caught:
        Checkpoint(path, key).load(CPU)
    return str(caught.value)


def test_the_file_of_another_training_is_refused_and_kept(file):
    before = file.read_bytes()
    message = refusal(file, "other")
    assert message == (
        f"{file} is the checkpoint of a training with other settings or data, "
        "or of another version; delete it to start again"
    )
    assert file.read_bytes() == before


def assert_damaged(path):
    message = refusal(path)
    assert message.startswith(f"{path} is damaged (")
    assert message.endswith("); delete it to start again")


def test_a_file_truncated_anywhere_is_refused(file):
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert_damaged(file)
    file.write_bytes(whole + b"\0")
    assert_damaged(file)


@given(content=st.binary(max_size=300))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_are_refused(content, tmp_path):
    path = tmp_path / "c"
    path.write_bytes(content)
    assert_damaged(path)


@pytest.mark.parametrize(
    "metadata",
    [None, {"other": "1"}, {"state": "{"}, {"state": "5"}, {"state": "[]"}, {"state": "{}"},
     {"state": '{"state": {}}'}],
)  # fmt: skip
def test_tensors_of_something_else_are_refused(metadata, tmp_path):
    save_file({"0": torch.ones(3)}, tmp_path / "c", metadata=metadata)
    assert_damaged(tmp_path / "c")


def test_json_and_a_folder_are_refused(tmp_path):
    (tmp_path / "c").write_text(json.dumps({"key": "mine", "state": {}}))
    assert_damaged(tmp_path / "c")
    (tmp_path / "folder").mkdir()
    assert_damaged(tmp_path / "folder")


def test_a_pickle_is_refused_without_being_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    torch.save({"key": "mine", "state": Trap()}, tmp_path / "c")
    assert_damaged(tmp_path / "c")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("moment", ["os.replace", "os.fsync"])
def test_a_failed_writing_leaves_the_old_file(moment, file, monkeypatch):
    checkpoint = Checkpoint(file, "mine", seconds=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(moment, stumble)
        with pytest.raises(DataError, match="no space"):
            checkpoint.save({"epoch": 4})
    assert bits(Checkpoint(file, "mine").load(CPU)) == bits(STATE)
    checkpoint.save({"epoch": 5})  # what the failed writing left is overwritten
    assert Checkpoint(file, "mine").load(CPU) == {"epoch": 5}
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def stumble(*args, **kwargs):
    raise OSError("no space left")


def test_a_half_written_part_is_ignored_overwritten_and_removed(file):
    part = file.with_name(f".{file.name}.0.part")
    part.write_bytes(file.read_bytes()[:50])  # as a kill leaves it
    checkpoint = Checkpoint(file, "mine", seconds=0.0)
    assert bits(checkpoint.load(CPU)) == bits(STATE)
    checkpoint.save({"epoch": 4})
    assert not part.exists()
    part.write_bytes(b"half")
    checkpoint.remove()
    assert not list(file.parent.iterdir())
    checkpoint.remove()  # twice is no error


def test_writing_is_throttled(tmp_path, monkeypatch):
    start = time.monotonic()
    checkpoint = Checkpoint(tmp_path / "c", "key", seconds=1000.0)

    def save_at(seconds, epoch):
        clock = SimpleNamespace(monotonic=lambda: start + seconds)
        monkeypatch.setattr(checkpoint_module, "time", clock)
        checkpoint.save({"epoch": epoch})
        return checkpoint.load(CPU)

    assert save_at(500, 1) is None  # the beginning counts as a writing
    assert save_at(1500, 2) == {"epoch": 2}
    assert save_at(2400, 3) == {"epoch": 2}
    assert save_at(2501, 4) == {"epoch": 4}
    assert save_at(3400, 5) == {"epoch": 4}


def test_a_copy_does_not_follow_later_changes():
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    state = {"model": {"w": weight}, "list": [torch.zeros(2)], "history": [{"mae": 1.0}], 3: {}}
    before = bits(state)
    copied = copy_state(state)
    with torch.no_grad():
        weight.add_(1.0)
    state["list"][0].fill_(9.0)
    state["list"].append(1)
    state["history"][0]["mae"] = 7.0
    state[3]["new"] = 1
    assert bits(copied) == before
    assert not copied["model"]["w"].requires_grad
    copied["model"]["w"].zero_()
    assert weight.tolist() == [2.0, 3.0]
