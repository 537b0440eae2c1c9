"""An interrupted run, continued, ends with the bits of an uninterrupted one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mtl_tutorial.balancing.dwa import DWA
from mtl_tutorial.balancing.famo import FAMO
from mtl_tutorial.balancing.grad_norm import GradNorm
from mtl_tutorial.balancing.pcgrad import PCGrad
from mtl_tutorial.balancing.random_loss_weighting import RandomLossWeighting
from mtl_tutorial.balancing.scalarizer import Scalarizer
from mtl_tutorial.balancing.uncertainty_weighting import UncertaintyWeighting
from mtl_tutorial.checkpoint import CheckpointError
from mtl_tutorial.layers.features import FeatureEncoder
from mtl_tutorial.layers.towers import Towers
from mtl_tutorial.lazy_adam import sparse_updates
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.training import NonFiniteLoss, fit

SCRIPT = Path(__file__).with_name("interruptible_training.py")


class WithDropout(nn.Module):
    def __init__(self, schema, tasks):
        super().__init__()
        self.encoder = FeatureEncoder(schema)
        self.body = nn.Sequential(nn.Linear(self.encoder.width, 16), nn.ReLU(), nn.Dropout(0.3))
        self.towers = Towers(tasks, 16, ())

    def forward(self, inputs):
        return self.towers(self.body(self.encoder(inputs)).unsqueeze(1))


class Momentum(Scalarizer):
    """A balancer with a trained parameter and a buffer that follows the losses."""

    def __init__(self, tasks, repeats):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(3))
        self.register_buffer("average", torch.ones(3))

    def forward(self, losses):
        self.average.lerp_(losses.detach().reshape(-1, 3).mean(0), 0.1)
        return (losses * (-self.scale).exp() / self.average + self.scale).sum(-1)


def interrupt_after(model, calls):
    """Raise KeyboardInterrupt instead of the model's next forward pass after so many."""
    done = iter(range(calls))

    def hook(*_):
        if next(done, None) is None:
            raise KeyboardInterrupt

    return model.register_forward_pre_hook(hook)


BALANCERS = {
    "FAMO": lambda tasks, repeats: FAMO(tasks, repeats=repeats),
    "DWA": lambda tasks, repeats: DWA(tasks, period=3, repeats=repeats),
    "GradNorm": lambda tasks, repeats: GradNorm(tasks, "body.layers.0.weight", repeats=repeats),
    "UncertaintyWeighting": lambda tasks, repeats: UncertaintyWeighting(tasks, repeats),
    "RandomLossWeighting": lambda tasks, repeats: RandomLossWeighting(),
    "PCGrad": lambda tasks, repeats: PCGrad(),
}
CASES = {
    "plain": {},
    "checkpoint each epoch": {"checkpoint_every": None},
    "weight decay": {"weight_decay": 0.01},
    "bfloat16": {"precision": "bf16"},
    "early stopping": {"early_stopping": True},
    "early stopping by steps": {"early_stopping": True, "evaluate_every": 2, "patience": 4},
    "balancer with state": {"balance": Momentum},
    "dropout": {"dropout": True},
    "sparse updates": {"sparse": True, "weight_decay": 0.01, "early_stopping": True},
    "stacked": {"repeats": 3},
    "everything": {"early_stopping": True, "evaluate_every": 3, "patience": 3, "balance": Momentum, "dropout": True,
                   "repeats": 2, "precision": "bf16", "weight_decay": 0.01},
    **{name: {"balance": make} for name, make in BALANCERS.items()},
    **{f"{name}, stacked": {"balance": make, "repeats": 2} for name, make in BALANCERS.items()},
    "FAMO with dropout": {"balance": BALANCERS["FAMO"], "dropout": True},
}


class Run:
    """One way of calling fit, which can be started over and over."""

    def __init__(self, table, held_out, tasks, *, early_stopping=False, balance=None, dropout=False, repeats=None,
                 sparse=False, device="cpu", **knobs):
        self.tasks, self.balance, self.dropout, self.repeats = tasks, balance, dropout, repeats
        self.sparse = sparse
        self.table = table if repeats is None else table.repeat(repeats)
        # 5 steps per epoch and a checkpoint every 3: most are written in the middle of an epoch
        self.knobs = {"epochs": 4, "batch_size": 30, "lr": 0.02, "checkpoint_every": 3, "device": device, **knobs}
        if early_stopping:
            self.knobs["validation"] = held_out if repeats is None else held_out.repeat(repeats)

    def start(self, seed):
        torch.manual_seed(seed)
        models = [(WithDropout if self.dropout else SharedBottom)(self.table.schema, self.tasks)
                  for _ in range(self.repeats or 1)]
        self.model = Stacked(models) if self.repeats else sparse_updates(models[0], self.sparse)
        self.balancer = self.balance(self.tasks, self.repeats) if self.balance else None

    def fit(self, checkpoint=None):
        knobs = self.knobs if checkpoint else {**self.knobs, "checkpoint_every": None}
        return fit(self.model, self.table, self.tasks, self.balancer, checkpoint=checkpoint, **knobs)

    def end(self, history):
        """Return all that a caller can see."""
        found = {**self.model.state_dict(), "losses": history.losses}
        if self.balancer:
            found |= {f"balance.{name}": value for name, value in self.balancer.state_dict().items()}
        if history.best_step is not None:
            found |= {"best": history.best_step, "scored": torch.tensor([step for step, _ in history.scores]),
                      "scores": torch.stack([score for _, score in history.scores])}
        return {name: value.clone() for name, value in found.items()}


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.fixture
def run(request, mixed_table, mixed_tasks):
    return Run(mixed_table(130), mixed_table(60, seed=1), mixed_tasks, **CASES[request.param])


@pytest.mark.parametrize("run", CASES, indirect=True)
@pytest.mark.parametrize("calls", [8, 17])
def test_interrupted_run_ends_with_the_same_bits(run, calls, tmp_path):
    run.start(seed=0)
    expected = run.end(run.fit())

    path = tmp_path / "run.safetensors"
    run.start(seed=0)
    hook = interrupt_after(run.model, calls)
    with pytest.raises(KeyboardInterrupt):
        run.fit(path)
    hook.remove()
    assert path.exists()
    run.start(seed=99)              # other weights, another random state: all must come from the file
    assert_same_bits(run.end(run.fit(path)), expected)
    run.start(seed=98)              # a finished run, called once more
    assert_same_bits(run.end(run.fit(path)), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("case", ["plain", "everything"])
def test_interrupted_run_on_cuda_ends_with_the_same_bits(case, mixed_table, mixed_tasks, tmp_path):
    run = Run(mixed_table(130), mixed_table(60, seed=1), mixed_tasks, device="cuda", **CASES[case])
    test_interrupted_run_ends_with_the_same_bits(run, 17, tmp_path)


def test_run_that_was_stopped_early_is_not_trained_on(mixed_table, mixed_tasks, tmp_path):
    run = Run(mixed_table(130), mixed_table(60, seed=1), mixed_tasks, early_stopping=True, evaluate_every=1,
              patience=1, checkpoint_every=1, monitor=lambda model, rows: 0.0)
    run.start(seed=0)
    first = run.end(run.fit(tmp_path / "run.safetensors"))
    assert len(first["losses"]) == 2
    run.start(seed=1)
    again = run.end(run.fit(tmp_path / "run.safetensors"))
    assert_same_bits(again, first)


def poison(model, step):
    """Add NaN to every output from this step on."""
    calls = iter(range(1, 10**6))

    def hook(module, inputs, outputs):
        if next(calls) >= step:
            return {name: value + float("nan") for name, value in outputs.items()}
        return None

    return model.register_forward_hook(hook)


def test_nothing_is_written_after_a_nan(mixed_table, mixed_tasks, tmp_path):
    run = Run(mixed_table(130), None, mixed_tasks, checkpoint_every=2)
    path = tmp_path / "run.safetensors"
    run.start(seed=0)
    expected = run.end(run.fit())
    run.start(seed=0)
    hook = poison(run.model, step=8)
    with pytest.raises(NonFiniteLoss, match="at step 8"):
        run.fit(path)
    hook.remove()
    written = load_file(path)
    assert written["losses"][:6].ne(0).all()
    assert written["losses"][6:].eq(0).all()
    assert all(value.isfinite().all() for value in written.values())
    run.start(seed=0)
    assert_same_bits(run.end(run.fit(path)), expected)


def test_weights_that_a_last_step_poisoned_are_not_written(mixed_table, mixed_tasks, tmp_path):
    """The loss of the step is still finite, only its gradient is not."""
    run = Run(mixed_table(130), None, mixed_tasks, checkpoint_every=2)
    path = tmp_path / "run.safetensors"
    run.start(seed=0)
    steps = iter(range(1, 10**6))
    run.model.towers.bias.register_hook(lambda gradient: gradient * (float("nan") if next(steps) == 4 else 1))
    with pytest.raises(NonFiniteLoss, match=r"weights 'towers\.bias' are not finite at step 4"):
        run.fit(path)
    assert load_file(path)["losses"].ne(0).any(1).sum() == 2


# --- kill -9 -------------------------------------------------------------------------------------------------

def launch(folder, checkpoint, pause=0.0):
    """Start a process that trains; it appends a dot to ``steps`` per forward pass and writes ``result``."""
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MTL_TUTORIAL_QUIET": "1", "MTL_TUTORIAL_DEVICE": "cpu"}
    command = [sys.executable, str(SCRIPT), str(folder), str(checkpoint), str(pause)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def wait_until(condition, process, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "the process did not get there in time"
        time.sleep(0.005)


def finish(process):
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9, which this system does not have")
def test_killed_process_is_continued_by_another_to_the_same_bits(tmp_path):
    checkpoint = tmp_path / "runs" / "run.safetensors"
    steps = tmp_path / "killed" / "steps"

    def made():
        return steps.stat().st_size if steps.exists() else 0

    killed = launch(tmp_path / "killed", checkpoint, pause=0.02)
    wait_until(checkpoint.exists, killed)
    written_at = made()
    wait_until(lambda: made() >= written_at + 9, killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "result").exists()

    content = checkpoint.read_bytes()
    half = checkpoint.with_name(checkpoint.name + ".abc123")        # what a kill in the middle of a write leaves
    half.write_bytes(content[:len(content) // 2])

    uninterrupted = launch(tmp_path / "uninterrupted", tmp_path / "none.safetensors")
    resumed = launch(tmp_path / "resumed", checkpoint)
    finish(uninterrupted)
    finish(resumed)
    expected, found = (load_file(tmp_path / name / "result") for name in ("uninterrupted", "resumed"))
    assert {"weights.body/0/weight", "losses", "best", "scores"} < found.keys()
    assert_same_bits(found, expected)
    assert (tmp_path / "resumed" / "steps").stat().st_size < (tmp_path / "uninterrupted" / "steps").stat().st_size
    assert half.read_bytes() == content[:len(content) // 2]


def test_a_run_on_other_rows_of_the_same_number_does_not_resume(tmp_path, mixed_table, mixed_tasks):
    def train(table):
        model = SharedBottom(table.schema, mixed_tasks)
        fit(model, table, mixed_tasks, epochs=1, checkpoint=tmp_path / "run.safetensors", device="cpu")

    table = mixed_table()
    train(table)
    flipped = {**table.targets, "click": 1 - table.targets["click"]}
    with pytest.raises(CheckpointError, match="data was"):
        train(table.with_targets(flipped, table.masks))
