"""GradNorm: weights that bring the tasks' gradients to one size, larger for those that lag."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.balancing.forward import forward
from mtl_tutorial.balancing.jacobian import Jacobian
from mtl_tutorial.balancing.scalarizer import Scalarizer, check_shape, state
from mtl_tutorial.data.table import Table
from mtl_tutorial.tasks import Task

SMALLEST = 1e-3     # of a weight: below zero a task would be unlearned


def gradnorm_targets(norms: Tensor, losses: Tensor, first_losses: Tensor, alpha: float) -> Tensor:
    """Return the norm that each task's weighted gradient should have, [..., K], held constant.

    The mean of the norms [..., K] times (L̃_k / mean L̃)^α, where L̃_k = L_k / L_k(0) is the share of its first loss
    that a task still has: a task that lags gets the larger gradient.
    """
    remaining = losses / first_losses                                                   # [..., K]
    rate = remaining / remaining.mean(-1, keepdim=True)
    return (norms.mean(-1, keepdim=True) * rate**alpha).detach()


class GradNorm(Scalarizer):
    """L = Σ_k w_k L_k; w follows Σ_k |‖∇_W w_k L_k‖ − target_k| downhill and is kept at Σ w = K.

    W is the last layer that all tasks share: the towers lie above it, and the layers below see the tasks' gradients
    only through it. (A tower's weight, or a norm over all shared weights, is another method.) The weights' gradient
    is written out, so that no second-order graph is built and none can pile up. Two departures from the paper: the
    step is measured in units of the mean norm, so that lr means the same at any loss scale, and no weight falls
    below 0.001.

    Args:
        tasks: K tasks.
        layer: name of W among the model's parameters.
        alpha: how strongly tasks that lag are helped; 0 makes all gradients equal in norm.
        lr: of the weights, plain gradient steps in units of their mean norm.
        repeats: R, for a stack of models.

    Reference: Chen, Badrinarayanan, Lee and Rabinovich 2018, GradNorm: Gradient Normalization for Adaptive Loss
    Balancing in Deep Multitask Networks, algorithm 1.
    """

    def __init__(self, tasks: Sequence[Task], layer: str, alpha: float = 1.5, lr: float = 0.025,
                 repeats: int | None = None):
        super().__init__()
        self.layer, self.alpha, self.lr = layer, alpha, lr
        self.register_buffer("weights", torch.ones_like(state(tasks, repeats)))
        self.register_buffer("first_losses", state(tasks, repeats))     # zero until the first step

    def forward(self, losses: Tensor) -> Tensor:
        """Map the losses [..., K] to the objective [...]."""
        check_shape(self.weights, losses)
        return (self.weights * losses).sum(-1)

    def backward(self, model: nn.Module, tasks: Sequence[Task], batch: Table, bf16: bool = False) -> Tensor:
        """Leave the objective's gradient in the parameters, adjust the weights, return the losses, [K] or [R, K].

        Raises:
            KeyError: the model has no parameter called ``layer``.
        """
        losses, penalty = forward(model, tasks, batch, bf16)
        jacobian = Jacobian.of(losses, [self._layer_of(model)])
        objective = self(losses).sum()
        (objective if penalty is None else objective + penalty).backward()
        self._adjust(jacobian.gramian().diagonal(dim1=-2, dim2=-1).sqrt(), losses.detach())
        return losses.detach()

    def _layer_of(self, model: nn.Module) -> Tensor:
        names = {name.removeprefix("weights.").replace("/", "."): p for name, p in model.named_parameters()}
        if self.layer not in names:
            raise KeyError(f"the model has no parameter {self.layer!r}; it has {', '.join(names)}")
        return names[self.layer]

    def _adjust(self, norms: Tensor, losses: Tensor) -> None:
        """Take one gradient step on the weights, from ‖∇_W L_k‖ and the losses, [..., K] each.

        A model whose batch lacks a label of some task (loss zero), now or so far, keeps its weights.
        """
        self.first_losses.copy_(torch.where(self.first_losses == 0, losses, self.first_losses))
        known = (losses > 0).all(-1, keepdim=True) & (self.first_losses > 0).all(-1, keepdim=True)     # [..., 1]
        weighted = self.weights * norms
        excess = weighted - gradnorm_targets(weighted, losses, self.first_losses, self.alpha)
        gradient = excess.sign() * norms / norms.mean(-1, keepdim=True)
        weights = (self.weights - self.lr * gradient).clamp(min=SMALLEST)
        self.weights.copy_(torch.where(known, weights / weights.mean(-1, keepdim=True), self.weights))

    def extra_repr(self) -> str:
        """Show the settings: a checkpoint must not be continued with others."""
        return f"layer={self.layer!r}, alpha={self.alpha}, lr={self.lr}"
