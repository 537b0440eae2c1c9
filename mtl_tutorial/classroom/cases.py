"""Arguments for the cases of exercises: the same numbers each time, in float64."""

import torch
from torch import nn


def normal(seed: int, *shape: int, grad: bool = False) -> torch.Tensor:
    """Return standard normal numbers of a shape, with or without a gradient to be compared."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_(grad)


def linear(seed: int, inputs: int, outputs: int) -> nn.Linear:
    """Return a linear layer [inputs] -> [outputs] with normal weights and biases."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(normal(seed, outputs, inputs))
        layer.bias.copy_(normal(seed + 1, outputs))
    return layer
