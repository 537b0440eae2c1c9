"""Many small networks of one shape, computed as one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.layers.product import affine, chains, takes_onednn


class BankLinear(nn.Module):
    """E linear layers side by side, each with weights of its own.

    Every member is initialised as ``torch.nn.Linear`` would be. Where all members read the same input the
    whole bank is one matrix product [B, I] × [I, E·O]; where each has its own, one batched product.

    Args:
        members: E.
        inputs, outputs: I and O.
        bias: leave out for gates.
    """

    def __init__(self, members: int, inputs: int, outputs: int, bias: bool = True):
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, outputs).uniform_(-bound, bound)) if bias else None

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        """Map [B, I] (shared input) or [B, E, I] (one input per member) to [B, E, O]; then ReLU, if wanted."""
        if x.dim() == 2:
            flat = self.weight.transpose(0, 1).flatten(1)                               # [I, E·O]
            bias = None if self.bias is None else self.bias.flatten()
            return affine(x, flat, bias, relu).unflatten(-1, self.weight.shape[::2])    # [B, E, O]
        return affine(x, self.weight, self.bias, relu)                                  # [B, E, O]


class Bank(nn.Module):
    """E multi-layer perceptrons side by side: the experts of MMoE, or the towers of several tasks.

    Args:
        members: E.
        inputs: width of the input.
        widths: of the hidden layers, each followed by ReLU. Empty: the input is passed on.

    Attributes:
        width: of the output.
    """

    def __init__(self, members: int, inputs: int, widths: Sequence[int]):
        super().__init__()
        sizes = [inputs, *widths]
        self.members, self.width = members, sizes[-1]
        self.layers = nn.ModuleList(BankLinear(members, *pair) for pair in itertools.pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, I] or [B, 1, I] (shared input), or [B, E, I], to [B, E, H]."""
        if x.dim() == 3 and x.shape[1] == 1:
            x = x.squeeze(1)                                                            # [B, I]
        if self.is_faster_member_by_member(x):
            return chains(x, [(layer.weight, layer.bias) for layer in self.layers])     # [B, E, H]
        for layer in self.layers:
            x = layer(x, relu=True) if isinstance(layer, BankLinear) else layer(x).relu()   # [B, E, ·]
        return x if x.dim() == 3 else x.unsqueeze(1).expand(-1, self.members, -1)

    def is_faster_member_by_member(self, x: Tensor) -> bool:
        """Whether to compute the members one after the other: large layers, and no others, on some processors."""
        return len(self.layers) > 1 and all(
            type(layer) is BankLinear and not layer._forward_hooks and not layer._forward_pre_hooks
            and takes_onednn(x, layer.weight) for layer in self.layers)
