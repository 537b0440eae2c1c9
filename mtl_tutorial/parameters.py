"""Counting parameters, so that architectures are compared at equal size."""

from __future__ import annotations

from torch import nn


def dense_parameters(model: nn.Module) -> int:
    """Return the number of trained parameters outside embedding tables; of a stacked model, of one repeat."""
    architecture = getattr(model, "architecture", model)
    dense = {parameter for module in architecture.modules() if not isinstance(module, nn.Embedding)
             for parameter in module.parameters(recurse=False) if parameter.requires_grad}
    return sum(parameter.numel() for parameter in dense)
