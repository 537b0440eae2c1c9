"""MAML: a start from which a few steps of gradient descent suffice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from mtl_tutorial.meta.episodes import Episodes, blanked
from mtl_tutorial.meta.learner import EpisodeLearner
from mtl_tutorial.meta.losses import RowLoss, mean_over_rows
from mtl_tutorial.meta.weights import Weights, initial_weights, spread, task_call


def inner_step(weights: Mapping[str, Tensor], loss_of: Callable[[Weights], Tensor],
               rate: float | Mapping[str, Tensor], first_order: bool = False) -> Weights:
    """Take one step of gradient descent, and keep it differentiable: φ = θ − α ∇L(θ).

    Of T tasks with weights [T, …] the gradient of the *sum* of their losses is each task's own.

    Args:
        weights: name -> θ.
        loss_of: weights -> loss, a scalar.
        rate: α, or name -> α entry by entry.
        first_order: take ∇L(θ) for a constant: dφ/dθ is then I instead of I − α ∇²L(θ).

    Returns:
        Name -> φ, connected to θ.

    Reference: Finn, Abbeel and Levine 2017, Model-Agnostic Meta-Learning, sections 2.2 and 5.2.
    """
    gradients = torch.autograd.grad(loss_of(weights), tuple(weights.values()), create_graph=not first_order,
                                    materialize_grads=True)
    pairs = zip(weights.items(), gradients, strict=True)
    if isinstance(rate, Mapping):
        return {name: torch.addcmul(value, rate[name], gradient, value=-1) for (name, value), gradient in pairs}
    return {name: torch.sub(value, gradient, alpha=rate) for (name, value), gradient in pairs}


class MAML(EpisodeLearner):
    """Learn initial weights for adaptation by a few steps of gradient descent, all tasks at once.

    The meta-gradient runs through the inner steps. All T tasks of a batch are one computation: weights with a
    leading task dimension, one call of ``autograd.grad`` per inner step.

    Args:
        model: any module, or R of them as a stack; one with a batched form is fastest (see ``task_call``).
        loss: of each row.
        inner_lr: α of the inner steps.
        inner_steps: in training, and by default when adapting.
        first_order: leave out second derivatives (FOMAML).

    Raises:
        ValueError: negative steps, or a model without a parameter to adapt.

    Reference: Finn, Abbeel and Levine 2017, Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks,
    algorithms 1 and 2.
    """

    def __init__(self, model: nn.Module, loss: RowLoss, inner_lr: float = 0.01, inner_steps: int = 1,
                 first_order: bool = False):
        super().__init__(model, loss)
        if inner_steps < 0:
            raise ValueError(f"inner_steps={inner_steps} must not be negative")
        self.inner_lr, self.inner_steps, self.first_order = inner_lr, inner_steps, first_order
        self.adapted = tuple(name for name, value in initial_weights(model).items()
                             if value.requires_grad and self.adapts(name))
        if not self.adapted:
            raise ValueError("nothing to adapt: the model has no trainable parameter that this method would move; "
                             f"its parameters are {', '.join(initial_weights(model)) or 'none'}")

    def adapts(self, name: str) -> bool:
        """Say whether the inner steps move the parameter of this name."""
        return True

    def rates(self, tasks: int) -> float | Weights:
        """Return the inner step size of T tasks: one number, or name -> [T, …]."""
        return self.inner_lr

    def adapt(self, support_x: Tensor, support_y: Tensor, support_mask: Tensor | None = None,
              steps: int | None = None) -> Weights:
        """Return the weights of T tasks after some steps on their support rows, name -> [T, …].

        Args:
            support_x: [T, S, …].
            support_y: [T, S, …].
            support_mask: rows that count, [T, S].
            steps: ``inner_steps`` if left out.
        """
        *_, adapted = self.path(support_x, support_y, support_mask, steps)
        return adapted

    def path(self, support_x: Tensor, support_y: Tensor, support_mask: Tensor | None = None,
             steps: int | None = None) -> Iterator[Weights]:
        """Yield the weights of T tasks after 0, 1, … steps; arguments as for :meth:`adapt`."""
        through = torch.is_grad_enabled()               # is a gradient wanted through the steps?
        support_x, support_y = blanked(support_x, support_y, support_mask)
        weights = spread(initial_weights(self.model), len(support_x), self.repeats)
        rates = self.rates(len(support_x))
        if not through:
            weights = {name: value.detach() for name, value in weights.items()}
        yield weights
        for _ in range(self.inner_steps if steps is None else steps):
            moving = {name: weights[name] for name in self.adapted}
            fixed = {name: value for name, value in weights.items() if name not in moving}
            if not through:
                moving = {name: value.detach().requires_grad_() for name, value in moving.items()}

            def support_loss(moving: Weights, fixed: Weights = fixed) -> Tensor:
                outputs = task_call(self.model, fixed | moving, support_x)
                return mean_over_rows(self.loss(outputs, support_y), support_mask).sum()

            with torch.enable_grad():
                moved = inner_step(moving, support_loss, rates, self.first_order or not through)
            if not through:
                moved = {name: value.detach() for name, value in moved.items()}
            weights = fixed | moved
            yield weights

    def predict(self, adapted: Weights, x: Tensor) -> Tensor:
        """Map rows of T tasks [T, N, …] to outputs [T, N, …], each by weights of its own."""
        return task_call(self.model, adapted, x)

    @torch.no_grad()
    def trajectory(self, episodes: Episodes, steps: int | None = None) -> Tensor:
        """Return each task's query loss after 0, 1, … steps, [steps + 1, T]."""
        return torch.stack([self.query_loss(weights, episodes) for weights in self.path(*episodes.support, steps)])
