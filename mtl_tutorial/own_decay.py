"""A weight decay of its own for each model of a stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.models.wrapped import Wrapped
from mtl_tutorial.parameters import named_weights


class OwnDecay(Wrapped):
    """A stack whose models each have a weight decay of their own: λ/2 · ‖w‖² as a penalty, as Adam's in ``fit``.

    Everything but the penalty is the stack's. A penalty that it has already is added.

    Args:
        model: a stack of M models, whose parameters all have a leading dimension M.
        decay: λ of each, [M].

    Raises:
        ValueError: a negative decay, or decays for another number of models.
    """

    def __init__(self, model: nn.Module, decay: Sequence[float] | Tensor):
        super().__init__(model)
        decay = torch.as_tensor(decay, dtype=torch.float32)
        models = {len(weight) for weight in named_weights(model).values()}
        if models != {len(decay)} or decay.min() < 0:
            raise ValueError(f"{len(decay)} decays, the least {decay.min():.3g}, for a stack of {sorted(models)} "
                             "models: give each model one, 0 or more")
        self.register_buffer("decay", decay)

    def penalty(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Return the penalty of each model, summed over its weights, [M]."""
        weights = named_weights(self.model).values()
        own = sum(self.decay.to(w.dtype) / 2 * w.square().reshape(len(w), -1).sum(1) for w in weights)   # [M]
        return own + self.model.penalty(outputs) if hasattr(self.model, "penalty") else own
