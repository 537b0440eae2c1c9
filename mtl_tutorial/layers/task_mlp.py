"""A multi-layer perceptron whose weights may be of every task its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class TaskLinear(nn.Module):
    """A linear layer with weight [I, O]: the layout of one batched product without a transposition.

    Initialised as ``torch.nn.Linear`` would be.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., I] to [..., O]."""
        return x @ self.weight + self.bias


class TaskMLP(nn.Module):
    """Linear layers with ReLU between them; its batched form computes T tasks in one product per layer.

    Args:
        inputs: width of a row.
        widths: of the hidden layers.
        outputs: width of the output, without activation.

    The last layer's parameters are called ``head.weight`` and ``head.bias``, those before it ``hidden.0.weight`` …
    """

    def __init__(self, inputs: int, widths: Sequence[int], outputs: int):
        super().__init__()
        sizes = [inputs, *widths]
        self.hidden = nn.ModuleList(TaskLinear(*pair) for pair in itertools.pairwise(sizes))
        self.head = TaskLinear(sizes[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., I] to [..., O]."""
        for layer in self.hidden:
            x = layer(x).relu()
        return self.head(x)

    def task_forward(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Map the rows of T tasks, each by weights of its own.

        Args:
            parameters: name -> [T, …].
            x: [T, N, I], or [T, N, …, I].

        Returns:
            [T, N, …, O].
        """
        inner = x.shape[1:-1]
        x = x if x.dim() == 3 else x.flatten(1, -2)                                     # [T, N, I]
        for number in range(len(self.hidden)):
            x = _product(parameters, f"hidden.{number}", x).relu()                      # [T, N, H]
        x = _product(parameters, "head", x)                                             # [T, N, O]
        return x if len(inner) == 1 else x.unflatten(1, inner)


def _product(parameters: Mapping[str, Tensor], layer: str, x: Tensor) -> Tensor:
    return torch.baddbmm(parameters[f"{layer}.bias"].unsqueeze(1), x, parameters[f"{layer}.weight"])
