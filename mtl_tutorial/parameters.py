"""Counting parameters, so that architectures are compared at equal size."""

from __future__ import annotations

from torch import nn


def dense_parameters(model: nn.Module) -> int:
    """Return the number of trained parameters outside embedding tables; of a stacked model, of one repeat."""
    total = 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and "embedding" not in name:
            total += parameter.numel()
    return total // (getattr(model, "repeats", None) or 1)
