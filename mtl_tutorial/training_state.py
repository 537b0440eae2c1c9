"""What a training run has come to: its losses, its best weights, and how both survive an interruption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from mtl_tutorial.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from mtl_tutorial.data.table import Table
from mtl_tutorial.tasks import Task


class NonFiniteLoss(FloatingPointError):
    """A loss became NaN or infinite, or a weight or score did; the message names the task and the step."""


@dataclass
class History:
    """What happened during training.

    Attributes:
        losses: of every step and task, [steps, K] (stacked models: [steps, R, K]).
        scores: (step, validation score), higher is better; the score is [R] for stacked models.
        best_step: step whose weights were kept, where a validation table was given ([R] if stacked).
        seconds: wall-clock time of this call, validation included.
    """

    losses: Tensor
    scores: list[tuple[int, Tensor]] = field(default_factory=list)
    best_step: Tensor | None = None
    seconds: float = 0.0


class TrainingState:
    """The state of one call of ``fit``: everything that a resumed call needs."""

    def __init__(self, model: nn.Module, balance: nn.Module, optimizer: torch.optim.Optimizer, history: History):
        self.model, self.balance, self.optimizer, self.history = model, balance, optimizer, history
        self.step = 0
        self.stale = 0                              # evaluations since the last new best
        self.checked = 0                            # steps whose losses are known to be finite
        self.best: dict[str, Tensor] = {}
        self.best_score: Tensor | None = None       # [] or [R]

    def check_finite(self, tasks: Sequence[Task]) -> None:
        """Raise NonFiniteLoss naming the first task and step whose loss, or a weight, is not finite."""
        fresh = self.history.losses[self.checked:self.step]
        bad = (~fresh.isfinite()).nonzero()
        if len(bad):
            first = bad[0].tolist()                                                     # step, (repeat,) task
            where = f", repeat {first[1]}" if len(first) == 3 else ""
            value = fresh[tuple(first)].item()
            raise NonFiniteLoss(f"task {tasks[first[-1]].name!r}: loss is {value} at step "
                                f"{self.checked + first[0] + 1}{where}; check this task's labels and numeric "
                                "features for NaN, or lower lr")
        for name, weight in self.model.named_parameters():
            if not _finite(weight):
                raise NonFiniteLoss(f"weights {name!r} are not finite at step {self.step}, though every loss was: "
                                    "check the labels that a mask hides for NaN, or lower lr")
        self.checked = self.step

    def evaluate(self, monitor: Callable[[nn.Module, Table], float | Tensor], validation: Table) -> None:
        """Score the model and keep the best weights, of every repeat on its own."""
        self.model.eval()
        score = torch.as_tensor(monitor(self.model, validation), dtype=torch.float64, device=validation.device)
        if not score.isfinite().all():
            raise NonFiniteLoss(f"validation score is {score.tolist()} at step {self.step}; do the validation rows "
                                "hold every class?")
        if self.best_score is None:
            self.best_score = torch.full_like(score, -torch.inf)
            self.history.best_step = torch.zeros(score.shape, dtype=torch.long, device=score.device)
            self.best = {name: value.clone() for name, value in self.model.state_dict().items()}
        better = score > self.best_score                                                # [] or [R]
        for name, value in self.model.state_dict().items():
            where = better.reshape(better.shape + (1,) * (value.dim() - better.dim()))
            self.best[name] = torch.where(where, value, self.best[name])
        self.best_score = torch.where(better, score, self.best_score)
        self.history.best_step = torch.where(better, self.step, self.history.best_step)
        self.history.scores.append((self.step, score))
        self.stale = 0 if better.any() else self.stale + 1

    def finish(self) -> None:
        """Put the best weights in place and cut the losses to the steps taken."""
        if self.best:
            self.model.load_state_dict(self.best)
        self.history.losses = self.history.losses[:self.step]

    def save(self, path: Path, identity: dict) -> None:
        """Write everything that the rest of the run depends on."""
        device = self.history.losses.device
        tensors = {"losses": self.history.losses, "random.cpu": torch.get_rng_state()}
        if device.type != "cpu":
            tensors[f"random.{device.type}"] = torch.get_device_module(device).get_rng_state()
        for prefix, module in (("model", self.model), ("balance", self.balance)):
            tensors |= {f"{prefix}/{name}": value for name, value in module.state_dict().items()}
        for number, entry in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{name}": value for name, value in entry.items()}
        if self.best_score is not None:
            tensors |= {f"best/{name}": value for name, value in self.best.items()}
            tensors |= {"best_score": self.best_score, "best_step": self.history.best_step,
                        "scores": torch.stack([score for _, score in self.history.scores])}
        state = {"identity": identity, "step": self.step, "stale": self.stale,
                 "evaluated": [step for step, _ in self.history.scores]}
        save_checkpoint(path, tensors, state)

    def load(self, path: Path, identity: dict) -> None:
        """Continue from what ``save`` wrote; a file that does not fit changes nothing."""
        tensors, state = load_checkpoint(path)
        _refuse_difference(path, "belongs to another run", state.get("identity", {}), identity)
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "balance": {}, "optimizer": {}, "best": {}}
        for name, value in tensors.items():
            prefix, slash, rest = name.partition("/")
            if slash:
                groups[prefix][rest] = value
        modules = {"model": self.model, "balance": self.balance}
        for prefix, module in modules.items():
            _refuse_difference(path, f"holds another {prefix}", _layout(groups[prefix]),
                               _layout(module.state_dict()))
        for prefix, module in modules.items():
            module.load_state_dict(groups[prefix])
        entries: dict[int, dict[str, Tensor]] = {}
        for name, value in groups["optimizer"].items():
            number, key = name.split("/")
            entries.setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": entries})
        device = self.history.losses.device
        self.history.losses.copy_(tensors["losses"])
        torch.set_rng_state(tensors["random.cpu"])
        if device.type != "cpu" and f"random.{device.type}" in tensors:
            torch.get_device_module(device).set_rng_state(tensors[f"random.{device.type}"])
        self.step, self.stale, self.checked = state["step"], state["stale"], state["step"]
        if "best_score" in tensors:
            self.best = {name: value.to(device) for name, value in groups["best"].items()}
            self.best_score = tensors["best_score"].to(device)
            self.history.best_step = tensors["best_step"].to(device)
            self.history.scores = list(zip(state["evaluated"], tensors["scores"].to(device), strict=True))


def _finite(weight: Tensor) -> bool:
    """Whether all entries are finite: NaN spreads to the extremes, which take one pass and no memory."""
    return not weight.numel() or bool(torch.stack(weight.detach().aminmax()).isfinite().all())


def _refuse_difference(path: Path, trouble: str, written: Mapping, wanted: Mapping) -> None:
    for key in [*wanted, *(written.keys() - wanted.keys())]:
        if written.get(key) != wanted.get(key):
            raise CheckpointError(f"{path}: {trouble}: {key} was {written.get(key)!r}, is {wanted.get(key)!r}; "
                                  "it was left in place: move it away to start afresh")


def _layout(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: f"{value.dtype} {list(value.shape)}" for name, value in tensors.items()}
