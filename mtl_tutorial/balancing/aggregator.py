"""Aggregators: the gradients of K tasks become one direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from mtl_tutorial.balancing.forward import forward, mixed_precision, penalty
from mtl_tutorial.balancing.jacobian import Jacobian, shared_parameters
from mtl_tutorial.data.table import Table
from mtl_tutorial.tasks import Task
from mtl_tutorial.tasks import losses as task_losses

FROZEN = "all that the tasks share is frozen: there are no gradients to combine; leave `balance` out, or unfreeze"


class Aggregator(nn.Module):
    """Base class: a method is :meth:`weights`, from the Gramian to one weight per task; this does the rest.

    All but the towers moves along Σ_k w_k g_k; each tower moves along the gradient of its own task, unweighted.

    Args:
        at: whose gradients the g_k are. ``"parameters"``: of all shared parameters, the methods' definition, at one
            backward pass per task. ``"representation"``: of the vector that the towers read. Every tower gets a
            copy of it, so that one backward pass of the sum gives each task's gradient apart; another one carries
            the combined gradient through the body. That is one pass in all, but a conflict is judged by the
            features of this batch, [B·H] numbers, before the body has mapped them to parameters: two tasks that
            agree there may conflict in the parameters, and the other way round.

    Attributes:
        looks_back: as for a scalarizer; no aggregator does.
    """

    looks_back = False

    def __init__(self, at: Literal["parameters", "representation"] = "parameters"):
        super().__init__()
        if at not in ("parameters", "representation"):
            raise ValueError(f"at={at!r} is neither 'parameters' nor 'representation'")
        self.at = at

    def weights(self, gramian: Tensor) -> Tensor:
        """Map the Gramian [..., K, K] to the tasks' weights [..., K]."""
        raise NotImplementedError

    def forward(self, jacobian: Jacobian) -> Tensor:
        """Map the tasks' gradients to their weights, [K] or [R, K]."""
        return self.weights(jacobian.gramian())

    def backward(self, model: nn.Module, tasks: Sequence[Task], batch: Table, bf16: bool = False) -> Tensor:
        """Leave the combined gradient in the parameters and return the losses, [K] or [R, K], detached.

        A model's penalty is added to the combined gradient as it is.

        Raises:
            TypeError: ``at="representation"``, but the model has no single vector that all towers read.
            ValueError: all that the tasks share is frozen.
        """
        if self.at == "representation":
            return self._through_representation(model, tasks, batch, bf16)
        losses, extra = forward(model, tasks, batch, bf16)
        shared = shared_parameters(model)
        if not shared:
            raise ValueError(f"{FROZEN} (no trainable parameter outside 'towers')")
        jacobian = Jacobian.of(losses, shared)
        own = [p for p in model.parameters() if p.requires_grad and not any(p is s for s in shared)]
        if own:
            losses.sum().backward(inputs=own, retain_graph=True)
        if extra is not None:
            extra.backward()
        for parameter, gradient in zip(shared, jacobian.combine(self(jacobian)), strict=True):
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return losses.detach()

    def _through_representation(self, model: nn.Module, tasks: Sequence[Task], batch: Table, bf16: bool) -> Tensor:
        architecture = getattr(model, "architecture", model)                            # of a stack
        if not hasattr(architecture, "represent"):
            raise TypeError(f"{type(architecture).__name__} offers no single vector that all towers read (no "
                            "method 'represent'): use at='parameters'")
        with mixed_precision(batch, bf16):
            shared = model.represent(batch.inputs)                                      # [(R,) B, 1, H]
            if not shared.requires_grad:
                raise ValueError(f"{FROZEN} (the vector that the towers read has no gradient)")
            vector = shared.detach().squeeze(-2).unsqueeze(-3)                          # [(R,) 1, B, H]
            copies = vector.expand(*vector.shape[:-3], len(tasks), -1, -1).clone().requires_grad_()
            outputs = model.read(copies.movedim(-3, -2))                                # reads [(R,) B, K, H]
        losses, extra = task_losses(tasks, outputs, batch), penalty(model, outputs)
        losses.sum().backward(retain_graph=extra is not None)   # towers; each task's gradient of its own copy
        jacobian = Jacobian([[copy] for copy in copies.grad.unbind(-3)], stacked=losses.dim() == 2)
        combined, = jacobian.combine(self(jacobian))                                    # [(R,) B, H]
        if extra is not None:
            copies.grad = None
            extra.backward()
            if copies.grad is not None:                                                 # it may be of weights alone
                combined += copies.grad.sum(-3)
        shared.backward(combined.unsqueeze(-2))
        return losses.detach()

    def extra_repr(self) -> str:
        """Show the settings: a checkpoint must not be continued with others."""
        return f"at={self.at!r}"
