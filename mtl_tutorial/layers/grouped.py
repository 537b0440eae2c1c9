"""Rows of several groups, each through its own group's weights, for the price of one network.

Sorted by group, the rows of one group are one block, and a layer with weights of its own for each group is one
matrix product per block. No row meets another group's weights, so the work grows with the rows alone, not with
rows × groups. A model sorts its inputs once (:func:`group_rows`), runs every layer on the sorted rows, and puts
the outputs back in order at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from mtl_tutorial.data.table import Inputs
from mtl_tutorial.layers.scenario_ids import known_scenario


class Groups(NamedTuple):
    """Where the rows of each group are."""

    order: Tensor       # [B] int64, rows by group; within a group in their own order
    inverse: Tensor     # [B] int64, place of each row in that order
    counts: Tensor      # [G] int64, rows of each group; on the CPU, since products are launched block by block

    def sort(self, inputs: Inputs) -> Inputs:
        """Return the rows group by group."""
        return Inputs(*(column[self.order] for column in inputs))

    def unsort(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return task -> [B, …] in the order that the rows came in."""
        return {task: output[self.inverse] for task, output in outputs.items()}


def group_rows(scenario: Tensor, scenarios: int) -> Groups:
    """Find the order that brings the rows of each scenario [B] together, once per batch.

    Raises:
        IndexError: an id outside 0 … S − 1 (see :func:`~mtl_tutorial.layers.scenario_ids.known_scenario`).
    """
    scenario = known_scenario(scenario, scenarios)
    order = scenario.argsort(stable=True)                                               # [B]
    is_member = scenario.unsqueeze(-1) == torch.arange(scenarios, device=scenario.device)   # [B, S]
    return Groups(order, order.argsort(), is_member.sum(0).cpu())


def grouped_linear(x: Tensor, weight: Tensor, bias: Tensor | None, counts: Tensor) -> Tensor:
    """Multiply each block of rows by its own group's weights: y = x W_g + b_g.

    Args:
        x: rows sorted by group, [B, I].
        weight: [G, I, O].
        bias: [G, O], or None.
        counts: rows of each group, [G] on the CPU, summing to B.

    Returns:
        [B, O]. Gradients of a group without rows are zero. Under autocast computed in its type, as
        ``torch.nn.functional.linear`` is.

    Raises:
        ValueError: counts that do not sum to B.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    return _Product.apply(x, weight, bias, counts)


def grouped_bank_linear(x: Tensor, weight: Tensor, bias: Tensor, counts: Tensor) -> Tensor:
    """Apply T linear layers per group side by side, each row in its own group's alone.

    Args:
        x: rows sorted by group, [B, I] (shared by the T members) or [B, T, I] (one vector for each).
        weight: [G, T, I, O].
        bias: [G, T, O].
        counts: rows of each group, [G] on the CPU.

    Returns:
        [B, T, O].
    """
    members, outputs = weight.shape[1], weight.shape[-1]
    if x.dim() == 2:
        flat = weight.transpose(1, 2).flatten(2)                                        # [G, I, T·O]
        return grouped_linear(x, flat, bias.flatten(1), counts).unflatten(-1, (members, outputs))
    by_member = x.transpose(0, 1).flatten(0, 1)                                         # [T·B, I]
    product = grouped_linear(by_member, weight.transpose(0, 1).flatten(0, 1),           # [T·B, O]
                             bias.transpose(0, 1).flatten(0, 1), counts.repeat(members))
    return product.unflatten(0, (members, x.shape[0])).transpose(0, 1)                  # [B, T, O]


class _Product(torch.autograd.Function):
    """Block by block, x W_g + b_g. Repeats that vmap stacks are folded into the groups."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, counts: Tensor) -> Tensor:
        result = x.new_empty(len(x), weight.shape[-1])
        sizes = _sizes(counts, len(x))
        biases = [None] * len(sizes) if bias is None else bias
        for rows, w, b, out in zip(x.split(sizes), weight, biases, result.split(sizes), strict=True):
            if b is None:
                torch.mm(rows, w, out=out)
            else:
                torch.addmm(b, rows, w, out=out)
        return result

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        x, weight, bias, counts = inputs
        ctx.save_for_backward(x, weight, counts)
        ctx.has_bias = bias is not None

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, counts = ctx.saved_tensors
        for_x, for_weight, for_bias, _ = ctx.needs_input_grad
        ones = gradient.new_ones(len(x), 1)
        return (_Product.apply(gradient, weight.mT, None, counts) if for_x else None,
                _Outer.apply(x, gradient, counts) if for_weight else None,
                _Outer.apply(ones, gradient, counts).squeeze(1) if ctx.has_bias and for_bias else None,
                None)

    @staticmethod
    def vmap(info, in_dims, x: Tensor, weight: Tensor, bias: Tensor | None, counts: Tensor) -> tuple[Tensor, int]:
        x, weight, bias, counts = _stacked(info.batch_size, in_dims, x, weight, bias, counts)
        bias = None if bias is None else bias.flatten(0, 1)                             # [R·G, O]
        result = _Product.apply(x.flatten(0, 1), weight.flatten(0, 1), bias, counts.flatten())
        return result.unflatten(0, x.shape[:2]), 0                                      # [R, B, O]


class _Outer(torch.autograd.Function):
    """Block by block, Σ over rows of x ⊗ y: [B, I] and [B, O] to [G, I, O]. The gradient of the weights."""

    @staticmethod
    def forward(x: Tensor, y: Tensor, counts: Tensor) -> Tensor:
        result = x.new_empty(len(counts), x.shape[-1], y.shape[-1])
        sizes = _sizes(counts, len(x))
        for of_x, of_y, out in zip(x.split(sizes), y.split(sizes), result, strict=True):
            torch.mm(of_x.mT, of_y, out=out)        # zero where the block is empty
        return result

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, y, counts = ctx.saved_tensors
        for_x, for_y, _ = ctx.needs_input_grad
        return (_Product.apply(y, gradient.mT, None, counts) if for_x else None,
                _Product.apply(x, gradient, None, counts) if for_y else None,
                None)

    @staticmethod
    def vmap(info, in_dims, x: Tensor, y: Tensor, counts: Tensor) -> tuple[Tensor, int]:
        x, y, counts = _stacked(info.batch_size, in_dims, x, y, counts)
        result = _Outer.apply(x.flatten(0, 1), y.flatten(0, 1), counts.flatten())
        return result.unflatten(0, counts.shape), 0                                     # [R, G, I, O]


def _sizes(counts: Tensor, rows: int) -> list[int]:
    sizes = counts.tolist()
    if sum(sizes) != rows:
        raise ValueError(f"the groups hold {sum(sizes)} rows, the batch {rows}: is a scenario outside "
                         f"0 … {len(sizes) - 1}? Table.validate names the row")
    return sizes


def _stacked(repeats: int, in_dims: tuple[int | None, ...], *arguments: Tensor | None) -> list[Tensor | None]:
    """Bring vmap's dimension of each argument to the front; what has none is shown to every repeat."""
    return [None if argument is None else argument.expand(repeats, *argument.shape) if dim is None
            else argument.movedim(dim, 0) for argument, dim in zip(arguments, in_dims, strict=True)]
