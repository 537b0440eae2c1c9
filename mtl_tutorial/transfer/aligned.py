"""Training on labels of the source while the features of source and target are drawn together."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs
from mtl_tutorial.tasks import at_least_float32
from mtl_tutorial.transfer.domains import TARGET


class Aligned(nn.Module):
    """A model whose training adds how far apart the features of the two domains are.

    Train it by ``fit`` on a table of :func:`~mtl_tutorial.transfer.domains.join_domains`, one model or a stack of
    them (``Stacked([Aligned(…), …])``). In evaluation mode it is the model.

    Args:
        model: with ``represent`` and ``read``, such as :class:`~mtl_tutorial.models.shared_bottom.SharedBottom`.
            It must not read the scenario, which holds the domain.
        discrepancy: maps features [B, H] and where they are the target's [B] bool to a scalar:
            :class:`~mtl_tutorial.transfer.coral.CORAL`, :class:`~mtl_tutorial.transfer.mmd.MMD` or
            :class:`~mtl_tutorial.transfer.dann.DANN`.

    Raises:
        TypeError: a model without one vector that all its towers read.
    """

    def __init__(self, model: nn.Module, discrepancy: nn.Module):
        super().__init__()
        if not hasattr(model, "represent"):
            raise TypeError(f"{type(model).__name__} offers no single vector that all towers read (no method "
                            "'represent'): there is nothing to align")
        self.model, self.discrepancy = model, discrepancy

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> logits, and in training the ``discrepancy``, a scalar."""
        shared = self.represent(inputs)                                                 # [B, 1, H]
        outputs = self.read(shared)
        if self.training:
            features = at_least_float32(shared.squeeze(-2))                             # [B, H]
            with torch.autocast(features.device.type, enabled=False):
                outputs["discrepancy"] = self.discrepancy(features, inputs.scenario == TARGET)
        return outputs

    def represent(self, inputs: Inputs) -> Tensor:
        """Return the vector that all towers read, [B, 1, H]."""
        return self.model.represent(inputs)

    def read(self, representation: Tensor) -> dict[str, Tensor]:
        """Map the vector [B, 1, H] to task -> logits."""
        return self.model.read(representation)

    def penalty(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Return the discrepancy that the forward pass found, a scalar, or [R] of a stack.

        Raises:
            ValueError: the outputs come from evaluation mode, or past :meth:`forward`.
        """
        if "discrepancy" not in outputs:
            raise ValueError("the outputs hold no discrepancy: they come from evaluation mode, or from `read` "
                             "alone, as with an aggregator at the representation; use at='parameters'")
        return outputs["discrepancy"]
