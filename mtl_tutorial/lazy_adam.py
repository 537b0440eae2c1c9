"""Training of large embedding tables: a step moves those rows alone that its batch looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

NO_STACK = "a stack of repeats updates its embedding tables whole: train the repeats one by one"


def sparse_updates(model: nn.Module, on: bool = True) -> nn.Module:
    """Let every step of ``fit`` touch only those rows of the embedding tables that its batch looks up.

    The time of a step then hardly grows with the tables. It pays from some 10^5 rows of all tables together;
    smaller ones are updated faster as a whole. What changes in the training is said at :class:`LazyAdam`.

    Args:
        model: whose tables are meant, all of them.
        on: False takes it back.

    Returns:
        The same model.

    Raises:
        ValueError: a stack of repeats.
    """
    if hasattr(model, "repeats"):
        raise ValueError(NO_STACK)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.sparse = on
    return model


def updates_sparsely(model: nn.Module) -> bool:
    """Whether an embedding table of the model is one of :func:`sparse_updates`."""
    return any(isinstance(module, nn.Embedding) and module.sparse for module in model.modules())


class LazyAdam(torch.optim.Adam):
    """Adam, but where a gradient is sparse, the rows that it does not name stay as they are.

    Parameters with a dense gradient, and tables whose rows all occur in every batch, learn exactly as with Adam.
    A row that a batch does not look up has the gradient zero. Adam would still let its moments decay and move it
    along what is left of them, and would apply weight decay; here its moments wait, unchanged, for the next batch
    that looks it up. The correction of the moments' start at zero counts all steps, as in ``SparseAdam``, which
    differs in eps alone: it adds it before that correction.

    Args:
        params: parameters or groups of them.
        lr: step size.
        betas: decay of the two moments.
        eps: added to the root of the second.
        weight_decay: L2 added to the gradient, of a sparse one to the rows that it names.

    Reference: Kingma and Ba 2015, Adam: A Method for Stochastic Optimization, algorithm 1.
    """

    def __init__(self, params: Iterable, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0.0):
        super().__init__(params, lr, betas, eps, weight_decay, fused=True)

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Move the parameters; ``closure`` recomputes the loss and the gradients first, if given."""
        loss = closure() if closure is not None else None
        sparse = {}
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None and table.grad.is_sparse:
                    sparse[table] = table.grad.coalesce()
                    self._move_rows(table, sparse[table], group)
                    table.grad = None                   # what is left is for Adam
        super().step()
        for table, gradient in sparse.items():
            table.grad = gradient
        return loss

    @torch.no_grad()
    def _move_rows(self, table: nn.Parameter, gradient: Tensor, group: dict) -> None:
        """Take the named rows out, let Adam move them, and put them back."""
        state = self.state[table]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=table.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(table), torch.zeros_like(table)
        rows = gradient.indices()[0]                                                    # [U]
        wholes = table, state["exp_avg"], state["exp_avg_sq"]                           # [V, dim] each
        parts = [whole.index_select(0, rows) for whole in wholes]                       # [U, dim] each
        moving, first, second = ([part] for part in parts)
        adam(moving, [gradient.values()], first, second, [], [state["step"]], fused=True, amsgrad=False,
             beta1=group["betas"][0], beta2=group["betas"][1], lr=group["lr"], weight_decay=group["weight_decay"],
             eps=group["eps"], maximize=False)
        for whole, part in zip(wholes, parts, strict=True):
            whole.index_copy_(0, rows, part)
