import json
import os
import struct

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mtl_tutorial.balancing.scalarizer import StaticWeights
from mtl_tutorial.checkpoint import FORMAT, CheckpointError, load_checkpoint, save_checkpoint
from mtl_tutorial.models.mmoe import MMoE
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(7), "empty": torch.zeros(0, 4)}
STATE = {"step": 3, "name": "café", "scores": [1, 2.5, None]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "run.safetensors"


def train(path, table, tasks, model=None, balance=None, **knobs):
    torch.manual_seed(0)
    model = model or SharedBottom(table.schema, tasks, widths=(8,))
    return fit(model, table, tasks, balance, checkpoint=path,
               **{"epochs": 2, "batch_size": 50, "lr": 0.01, "device": "cpu", **knobs})


# --- the file ------------------------------------------------------------------------------------------------

def test_what_is_saved_is_loaded(path):
    save_checkpoint(path, TENSORS, STATE)
    tensors, state = load_checkpoint(path)
    assert state == STATE
    assert tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert tensors[name].dtype == value.dtype
        assert torch.equal(tensors[name], value)


def test_loaded_tensors_survive_the_file(path):
    save_checkpoint(path, TENSORS, STATE)
    tensors, _ = load_checkpoint(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    path.unlink()
    tensors["a"] += 1
    assert torch.equal(tensors["a"], TENSORS["a"] + 1)


def test_views_and_shared_memory_are_written_out(path):
    base = torch.arange(6.0)
    save_checkpoint(path, {"whole": base, "part": base[2:4], "turned": base.reshape(2, 3).T,
                           "spread": base[:1].expand(3)}, {})
    tensors, _ = load_checkpoint(path)
    assert tensors["part"].tolist() == [2.0, 3.0]
    assert tensors["turned"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    assert tensors["spread"].tolist() == [0.0, 0.0, 0.0]


def test_failed_write_keeps_the_old_file_and_leaves_nothing_behind(path, monkeypatch):
    save_checkpoint(path, TENSORS, STATE)
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left on device")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, full)
            with pytest.raises(OSError, match="no space left"):
                save_checkpoint(path, {"a": torch.zeros(1)}, {})
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]


def test_file_holds_no_pickle(path):
    save_checkpoint(path, TENSORS, STATE)
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + length])
    assert header["__metadata__"]["format"] == FORMAT
    assert len(content) == 8 + length + 6 * 4 + 8


# --- files that cannot be used -------------------------------------------------------------------------------

def damage(content, how):
    header = 8 + struct.unpack("<Q", content[:8])[0]
    return {"empty": b"", "cut short in the length": content[:5], "cut short in the header": content[:header // 2],
            "cut short in the tensors": content[:-1], "overgrown": content + b"\0",
            "a pickle": b"\x80\x04\x95\x10\x00\x00\x00", "a text": b"these are not the tensors you look for",
            "header turned over": content[:8] + content[8:header][::-1] + content[header:],
            "header of a giant": b"\xff" * 8 + content[8:]}[how]


@pytest.mark.parametrize("how", [
    "empty", "cut short in the length", "cut short in the header", "cut short in the tensors", "overgrown",
    "a pickle", "a text", "header turned over", "header of a giant"])
def test_damaged_file_is_named_and_left_in_place(how, path, mixed_table, mixed_tasks):
    table = mixed_table()
    train(path, table, mixed_tasks)
    damaged = damage(path.read_bytes(), how)
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"run\.safetensors: cannot be read as a checkpoint .*; it was left"):
        train(path, table, mixed_tasks)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": "mtl_tutorial checkpoint 0"}])
def test_foreign_file_is_named_and_left_in_place(metadata, path, mixed_table, mixed_tasks):
    path.parent.mkdir()
    save_file({"weight": torch.ones(3)}, path, metadata=metadata)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"run\.safetensors: not a checkpoint of mtl_tutorial \(format .*"):
        train(path, mixed_table(), mixed_tasks)
    assert path.read_bytes() == before


def test_folder_in_the_place_of_the_file_is_named(path, mixed_table, mixed_tasks):
    path.mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"run\.safetensors: cannot be read as a checkpoint"):
        train(path, mixed_table(), mixed_tasks)


def test_checkpoint_that_no_run_wrote_belongs_to_another_run(path, mixed_table, mixed_tasks):
    save_checkpoint(path, TENSORS, STATE)
    with pytest.raises(CheckpointError, match=r"run\.safetensors: belongs to another run"):
        train(path, mixed_table(), mixed_tasks)


@pytest.mark.parametrize(("changed", "message"), [
    ({"epochs": 3}, "steps was 8, is 12"), ({"batch_size": 40}, "steps was 8, is 10"),
    ({"lr": 0.02}, r"lr was 0\.01, is 0\.02"), ({"weight_decay": 0.1}, r"weight_decay was 0\.0, is 0\.1"),
    ({"seed": 1}, "seed was 0, is 1"), ({"precision": "bf16"}, "precision was 'fp32', is 'bf16'"),
    ({"balance": StaticWeights([1, 2, 1])}, r"balance was 'Sum\(\)', is 'StaticWeights\(\[1.0, 2.0, 1.0\]\)'"),
    ({"patience": 4}, "patience was None, is 4"), ({"evaluate_every": 3}, "evaluate_every was None, is 3")])
def test_other_arguments_are_another_run(changed, message, path, mixed_table, mixed_tasks):
    table = mixed_table()
    knobs = {"validation": table}
    train(path, table, mixed_tasks, **knobs)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=rf"run\.safetensors: belongs to another run: {message}; it was left"):
        train(path, table, mixed_tasks, **knobs, **changed)
    assert path.read_bytes() == before


def test_other_rows_and_other_tasks_are_another_run(path, mixed_table, mixed_tasks):
    table = mixed_table()
    train(path, table, mixed_tasks)
    with pytest.raises(CheckpointError, match=r"rows was 200, is 199"):
        train(path, table.take(slice(0, 199)), mixed_tasks)
    with pytest.raises(CheckpointError, match="validation rows was 0, is 200"):
        train(path, table, mixed_tasks, validation=table)
    with pytest.raises(CheckpointError, match=r"tasks was .*kind='binary'.*, is .*kind='regression'"):
        train(path, table, [Task("click", "regression"), *mixed_tasks[1:]])


def other_models(table, tasks):
    return {"a wider body": SharedBottom(table.schema, tasks, widths=(9,)),
            "another architecture": MMoE(table.schema, tasks),
            "another dtype": SharedBottom(table.schema, tasks, widths=(8,)).double(),
            "a deeper body": SharedBottom(table.schema, tasks, widths=(8, 8))}


@pytest.mark.parametrize("other", ["a wider body", "another architecture", "another dtype", "a deeper body"])
def test_other_model_is_refused_and_neither_file_nor_model_is_touched(other, path, mixed_table, mixed_tasks):
    table = mixed_table()
    train(path, table, mixed_tasks)
    model = other_models(table, mixed_tasks)[other]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    content, random = path.read_bytes(), torch.get_rng_state()
    with pytest.raises(CheckpointError, match=r"run\.safetensors: holds another model: \S+ was .*, is .*"):
        fit(model, table, mixed_tasks, epochs=2, batch_size=50, lr=0.01, device="cpu", checkpoint=path)
    assert path.read_bytes() == content
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())


def test_stack_of_other_height_is_refused(path, mixed_table, mixed_tasks):
    table = mixed_table()

    def stack(repeats):
        return Stacked([SharedBottom(table.schema, mixed_tasks, widths=(8,)) for _ in range(repeats)])

    train(path, table.repeat(2), mixed_tasks, model=stack(2))
    with pytest.raises(CheckpointError, match="belongs to another run: data was"):
        train(path, table.repeat(3), mixed_tasks, model=stack(3))


class Tied(nn.Module):
    """A model that uses one weight in two places."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight

    def forward(self, inputs):
        return {"click": self.second(self.first(inputs.numeric).relu()).sum(-1)}


def test_model_with_tied_weights_can_be_saved_and_continued(path, mixed_table, mixed_tasks):
    table, trained = mixed_table(), Tied()
    train(path, table, mixed_tasks[:1], model=trained)
    again = Tied()
    train(path, table, mixed_tasks[:1], model=again)
    assert again.first.weight is again.second.weight
    assert torch.equal(again.first.weight, trained.first.weight)
