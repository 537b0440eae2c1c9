"""One training loop for every model: :func:`fit`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from mtl_tutorial.balancing.scalarizer import Scalarizer, Sum
from mtl_tutorial.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from mtl_tutorial.data.table import Table
from mtl_tutorial.device import find_device
from mtl_tutorial.inference import mean_losses
from mtl_tutorial.progress_bar import bar
from mtl_tutorial.tasks import Task, losses

Monitor = Callable[[nn.Module, Table], float | Tensor]

CHECK_EVERY = 50        # steps between looks at the losses: a look waits for the device


class NonFiniteLoss(FloatingPointError):
    """A loss became NaN or infinite; the message names the task and the step."""


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


def fit(model: nn.Module, table: Table, tasks: Sequence[Task], balance: Scalarizer | None = None, *,
        epochs: int = 3, batch_size: int = 512, lr: float = 1e-3, weight_decay: float = 0.0, seed: int = 0,
        precision: str = "fp32", device: torch.device | str | None = None,
        validation: Table | None = None, monitor: Monitor | None = None,
        evaluate_every: int | None = None, patience: int | None = None,
        checkpoint: Path | str | None = None, checkpoint_every: int | None = None,
        description: str = "training") -> History:
    """Train ``model`` in place with Adam on index batches of ``table``.

    Args:
        model: maps ``Inputs`` to task -> output. An optional method ``penalty(outputs)`` is added to the loss.
            A :class:`~mtl_tutorial.models.stacked.Stacked` model wants a table with as many repeats.
        table: the training rows.
        tasks: what to learn.
        balance: turns the tasks' losses into one objective; the plain sum if left out.
        epochs: passes over the rows.
        batch_size: rows per step.
        lr: Adam's step size.
        weight_decay: of Adam (L2 added to the gradient).
        seed: of the order of the rows.
        precision: ``"fp32"``, or ``"bf16"`` for products in bfloat16 with weights and losses in float32.
        device: where to train; :func:`~mtl_tutorial.device.find_device` if left out.
        validation: rows for early stopping. With them, the best weights seen are those kept at the end.
        monitor: (model, validation) -> score, higher is better, [R] for stacked models; minus the summed loss
            if left out.
        evaluate_every: steps between evaluations; once per epoch if left out.
        patience: stop after this many evaluations in a row without a new best (of any repeat).
        checkpoint: file to write to, and to resume from where it exists: an interrupted call, made again with
            the same arguments, ends with the same bits.
        checkpoint_every: steps between writes; once per epoch if left out.
        description: of the progress bar.

    Returns:
        The history. The model is left in evaluation mode on ``device``.

    Raises:
        NonFiniteLoss: a loss became NaN or infinite.
        CheckpointError: the checkpoint is damaged or belongs to another run.
        ValueError: an unknown precision, a stacked model without as many repeats, patience without validation.
    """
    started = time.perf_counter()
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision {precision!r} is neither 'fp32' nor 'bf16'")
    if getattr(model, "repeats", None) != table.repeats:
        raise ValueError(f"the model has repeats={getattr(model, 'repeats', None)}, the table "
                         f"repeats={table.repeats}: use Table.stack or Table.repeat")
    if patience is not None and validation is None:
        raise ValueError("patience needs validation rows to judge by")
    if monitor is None:
        def monitor(model: nn.Module, rows: Table) -> Tensor:
            return -mean_losses(model, rows, tasks).sum(-1)
    device = torch.device(device) if device is not None else find_device()
    balance = (balance or Sum()).to(device)
    model.to(device)
    table = table.only([task.name for task in tasks]).to(device)
    validation = validation.to(device) if validation is not None else None
    parameters = [p for p in (*model.parameters(), *balance.parameters()) if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay, fused=True)
    steps_per_epoch = -(-len(table) // batch_size)
    steps = epochs * steps_per_epoch
    leading = () if table.repeats is None else (table.repeats,)
    run = _Run(model, balance, optimizer, History(torch.zeros(steps, *leading, len(tasks), device=device)))
    identity = {"steps": steps, "batch_size": batch_size, "lr": lr, "weight_decay": weight_decay, "seed": seed,
                "precision": precision, "tasks": [task.name for task in tasks], "rows": len(table)}
    if checkpoint is not None and Path(checkpoint).exists():
        run.load(Path(checkpoint), identity)

    with bar(steps, description) as progress:
        progress.update(run.step)
        for index in _index_batches(table, batch_size, seed, run.step, steps_per_epoch, epochs):
            model.train()
            batch = table.take(index)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                outputs = model(batch.inputs)
            task_losses = losses(tasks, outputs, batch)                                 # [K] or [R, K]
            objective = balance(task_losses).sum()
            if hasattr(model, "penalty"):
                objective = objective + model.penalty(outputs).sum()
            optimizer.zero_grad(set_to_none=True)
            objective.backward()
            optimizer.step()
            run.history.losses[run.step] = task_losses.detach()
            run.step += 1
            progress.update()
            epoch_ends = run.step % steps_per_epoch == 0
            if run.step % CHECK_EVERY == 0 or epoch_ends:
                run.check_finite(tasks)
            if validation is not None and _due(run.step, evaluate_every, epoch_ends):
                run.evaluate(monitor, validation)
            if checkpoint is not None and _due(run.step, checkpoint_every, epoch_ends):
                run.check_finite(tasks)
                run.save(Path(checkpoint), identity)
            if patience is not None and run.stale > patience:
                break
    run.finish()
    model.eval()
    run.history.seconds = time.perf_counter() - started
    return run.history


def _due(step: int, every: int | None, epoch_ends: bool) -> bool:
    return epoch_ends if every is None else step % every == 0


def _index_batches(table: Table, size: int, seed: int, done: int, per_epoch: int, epochs: int) -> Iterator[Tensor]:
    """Yield the index batches of all epochs but the first ``done``: an epoch's order depends on its number."""
    for epoch in range(done // per_epoch, epochs):
        order = table.batches(size, torch.Generator().manual_seed(seed * 1_000_003 + epoch))
        for position, index in enumerate(order):
            if epoch * per_epoch + position >= done:
                yield index


class _Run:
    """The state of one call of ``fit``: everything that a resumed call needs."""

    def __init__(self, model: nn.Module, balance: Scalarizer, optimizer: torch.optim.Optimizer, history: History):
        self.model, self.balance, self.optimizer, self.history = model, balance, optimizer, history
        self.step = 0
        self.stale = 0                              # evaluations since the last new best
        self.checked = 0                            # steps whose losses are known to be finite
        self.best: dict[str, Tensor] = {}
        self.best_score: Tensor | None = None       # [] or [R]

    def check_finite(self, tasks: Sequence[Task]) -> None:
        """Raise NonFiniteLoss naming the first task and step whose loss is not finite."""
        fresh = self.history.losses[self.checked:self.step]
        bad = (~fresh.isfinite()).nonzero()
        if len(bad):
            first = bad[0].tolist()                                                     # step, (repeat,) task
            where = f", repeat {first[1]}" if len(first) == 3 else ""
            value = fresh[tuple(first)].item()
            raise NonFiniteLoss(f"task {tasks[first[-1]].name!r}: loss is {value} at step "
                                f"{self.checked + first[0] + 1}{where}; check this task's labels and numeric "
                                "features for NaN, or lower lr")
        self.checked = self.step

    def evaluate(self, monitor: Monitor, validation: Table) -> None:
        """Score the model and keep the best weights, of every repeat on its own."""
        self.model.eval()
        score = torch.as_tensor(monitor(self.model, validation), dtype=torch.float64, device=validation.device)
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
        tensors = {"losses": self.history.losses, "random": torch.get_rng_state()}
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
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
        """Continue from what ``save`` wrote."""
        tensors, state = load_checkpoint(path)
        for key, value in identity.items():
            if state["identity"].get(key) != value:
                raise CheckpointError(f"{path}: belongs to another run: {key} was {state['identity'].get(key)!r}, "
                                      f"is {value!r}; move it away to start afresh")
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "balance": {}, "optimizer": {}, "best": {}}
        for name, value in tensors.items():
            prefix, slash, rest = name.partition("/")
            if slash:
                groups[prefix][rest] = value
        try:
            self.model.load_state_dict(groups["model"])
            self.balance.load_state_dict(groups["balance"])
        except RuntimeError as error:
            raise CheckpointError(f"{path}: holds another model: {str(error).splitlines()[-1].strip()}; "
                                  "move it away to start afresh") from None
        entries: dict[int, dict[str, Tensor]] = {}
        for name, value in groups["optimizer"].items():
            number, key = name.split("/")
            entries.setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": entries})
        device = self.history.losses.device
        self.history.losses.copy_(tensors["losses"])
        torch.set_rng_state(tensors["random"])
        if "random.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random.cuda"])
        self.step, self.stale, self.checked = state["step"], state["stale"], state["step"]
        if "best_score" in tensors:
            self.best = {name: value.to(device) for name, value in groups["best"].items()}
            self.best_score = tensors["best_score"].to(device)
            self.history.best_step = tensors["best_step"].to(device)
            self.history.scores = list(zip(state["evaluated"], tensors["scores"].to(device), strict=True))
