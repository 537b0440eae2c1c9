"""The gradients of K losses with respect to the same tensors, and what can be read off them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Jacobian:
    """One gradient per task, kept in the blocks that the parameters come in: nothing is copied into one matrix.

    Args:
        gradients: task -> block -> gradient, K × P tensors; with ``stacked``, every block leads with the repeats R.
        stacked: whether the blocks lead with a dimension of repeats.
    """

    gradients: Sequence[Sequence[Tensor]]
    stacked: bool = False

    @classmethod
    def of(cls, losses: Tensor, tensors: Sequence[Tensor]) -> Jacobian:
        """Differentiate the losses [K] (or [R, K], where the tensors lead with R), one backward pass per task.

        The graph is kept. A tensor that a loss does not depend on has the gradient zero.

        Raises:
            ValueError: a gradient is sparse.
        """
        gradients = [torch.autograd.grad(loss.sum(), tensors, retain_graph=True, materialize_grads=True)
                     for loss in losses.unbind(-1)]
        if any(block.is_sparse for block in gradients[0]):
            raise ValueError("the tasks' gradients of an embedding table are sparse and cannot be compared: use "
                             "at='representation', or take it back by sparse_updates(model, False)")
        return cls(gradients, stacked=losses.dim() == 2)

    def _rows(self, task: int) -> list[Tensor]:
        """Return a task's blocks as rows, [P_i] or [R, P_i] each."""
        return [block.flatten(1) if self.stacked else block.flatten() for block in self.gradients[task]]

    def gramian(self) -> Tensor:
        """Return the inner products g_i · g_j, [K, K] or [R, K, K]: all that most methods need to know."""
        rows = [self._rows(task) for task in range(len(self.gradients))]
        inner = {(i, j): sum(torch.linalg.vecdot(a, b) for a, b in zip(rows[i], rows[j], strict=True))
                 for i in range(len(rows)) for j in range(i + 1)}                       # [] or [R] each
        return torch.stack([torch.stack([inner[max(i, j), min(i, j)] for j in range(len(rows))], -1)
                            for i in range(len(rows))], -2)

    def infinity_norms(self) -> Tensor:
        """Return the largest entry of each gradient by size, [K] or [R, K]."""
        return torch.stack([torch.stack([block.abs().amax(-1) for block in self._rows(task)]).amax(0)
                            for task in range(len(self.gradients))], -1)

    def combine(self, weights: Tensor) -> list[Tensor]:
        """Return Σ_k w_k g_k block by block, for weights [K] or [R, K].

        The blocks are laid out row by row, as parameters are, whatever the layout in which autograd left the
        gradients: Adam's fused form goes through the memory, not through the indices.
        """
        combined = []
        for blocks in zip(*self.gradients, strict=True):
            total = torch.zeros(blocks[0].shape, dtype=blocks[0].dtype, device=blocks[0].device)
            for weight, block in zip(weights.to(total.dtype).unbind(-1), blocks, strict=True):
                total.addcmul_(weight.reshape(weight.shape + (1,) * (block.dim() - weight.dim())), block)
            combined.append(total)
        return combined


def shared_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return all trainable parameters that more than one task may use: everything but the towers.

    A task-specific part outside the attribute ``towers`` (PLE's own experts, the last layer of STAR) counts as
    shared. The other tasks' gradients are zero there: the inner products between tasks stay as they are, the task's
    own norm grows by that part, and the part moves with its task's weight.
    """
    return [p for name, p in model.named_parameters()
            if p.requires_grad and "towers" not in name.replace("/", ".").split(".")]
