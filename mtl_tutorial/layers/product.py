"""A linear layer with ReLU on the faster of the two libraries that torch brings for matrix products on a CPU.

torch computes float32 products with MKL, which uses AVX-512 on Intel's processors alone. oneDNN, which torch takes
for bfloat16, uses it wherever it is: on AMD's processors with AVX-512 it is about twice as fast, with the same
precision. It also adds the bias and applies ReLU while a result is still in the processor's registers. So this
module takes it where it pays. Everywhere else, and inside ``torch.func`` and ``torch.compile``, the layer is
computed as one would write it.

torch has no public name for that: this uses an operator that torch keeps for its own compiler. Where a torch does
not have it, the layer is computed as everywhere else.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

PAYS = 2**22            # multiplications from which a product makes up for oneDNN's dearer call


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False) -> Tensor:
    """Return x W + b, or ReLU of it; under autocast computed in its type, as ``torch.nn.functional.linear`` is.

    Args:
        x: [N, I], or [N, E, I] for E layers side by side.
        weight: W, [I, O] or [E, I, O].
        bias: b, [O] or [E, O]; none if left out.
        relu: whether ReLU follows.

    Returns:
        [N, O] or [N, E, O], differentiable by backward passes as often as wanted.
    """
    if takes_onednn(x, weight):
        if x.dim() == 2:
            return _by_onednn(x, weight, bias, relu)
        layers = zip(x.unbind(1), weight, [None] * len(weight) if bias is None else bias, strict=True)
        return torch.stack([_by_onednn(*layer, relu) for layer in layers], 1)           # [N, E, O]
    if x.dim() == 2:
        product = x @ weight if bias is None else torch.addmm(bias, x, weight)          # [N, O]
    else:
        x = x.transpose(0, 1).contiguous()                                              # [E, N, I]
        product = x @ weight if bias is None else torch.baddbmm(bias.unsqueeze(1), x, weight)
        product = product.transpose(0, 1)                                               # [N, E, O]
    return product.relu() if relu else product


def chains(x: Tensor, layers: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Return what E chains of layers, each with ReLU, make of rows by oneDNN, one chain after the other.

    So what lies between two layers of a chain is still in the processor's cache when the next one, or the backward
    pass, reads it; and it takes E small blocks of memory, which the allocator keeps for the next step, instead of a
    large one, which it gives back to the system: every page of that is a fault in every step.

    Args:
        x: [N, I] for all chains, or [N, E, I].
        layers: W and b of each layer, [E, I, O] and [E, O].

    Returns:
        [N, E, O] of the last layer.
    """
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, layers = x.to(dtype), [(weight.to(dtype), bias.to(dtype)) for weight, bias in layers]
    members = list(zip(*(zip(weight, bias, strict=True) for weight, bias in layers), strict=True))
    inputs = [x] * len(members) if x.dim() == 2 else x.unbind(1)
    is_shared = x.dim() == 2 and torch.is_grad_enabled()
    shared = x.T.contiguous() if is_shared else None            # [I, N], for the backward pass of all first layers
    outputs = []
    for rows, chain in zip(inputs, members, strict=True):
        transposed = shared
        for weight, bias in chain:
            rows, transposed = _by_onednn(rows, weight, bias, True, transposed), None   # [N, O]
        outputs.append(rows)
    return torch.stack(outputs, 1)


def takes_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN is the faster for this layer, or each of these, in the type that it is computed in."""
    if (torch.compiler.is_compiling() or x.device.type != "cpu"
            or len(x) * weight.shape[-2] * weight.shape[-1] < PAYS
            or torch._C._functorch.maybe_current_level() is not None):
        return False
    in_autocast = torch.is_autocast_enabled("cpu") and torch.float64 not in (x.dtype, weight.dtype)
    dtypes = {torch.get_autocast_dtype("cpu")} if in_autocast else {x.dtype, weight.dtype}
    return len(dtypes) == 1 and _is_faster(*dtypes)


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool,
               transposed: Tensor | None = None) -> Tensor:
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    x = x.contiguous()
    return _Affine.apply(x, x.T if transposed is None else transposed, weight, bias, relu)


class _Affine(torch.autograd.Function):
    """A layer [N, I] → [N, O]. It is given x.T, [I, N], too: without gaps, its backward pass need not copy it."""

    @staticmethod
    def forward(x: Tensor, transposed: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
        return _onednn(x, weight, bias, relu)

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor, Tensor, Tensor | None, bool], output: Tensor) -> None:
        _, transposed, weight, _, ctx.relu = inputs
        ctx.save_for_backward(transposed, weight, output if ctx.relu else None)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        transposed, weight, output = ctx.saved_tensors
        if ctx.relu:
            gradient = torch.ops.aten.threshold_backward(gradient, output, 0)           # [N, O]
        gradient = gradient.contiguous()
        for_x, _, for_weight, for_bias, _ = ctx.needs_input_grad
        return (_product(gradient, weight.T) if for_x else None, None,                  # [N, I]
                _outer(transposed, gradient) if for_weight else None,                   # [I, O]
                gradient.sum(0) if for_bias else None, None)


def _outer(transposed: Tensor, gradient: Tensor) -> Tensor:
    """Return x.T @ gradient. oneDNN copies what is transposed on its left: let that be the narrower of the two."""
    if transposed.is_contiguous() or len(transposed) <= gradient.shape[1]:
        return _product(transposed, gradient)
    return _product(gradient.T, transposed.T).T.contiguous()


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Return a @ b, differentiable itself; in bfloat16 torch takes oneDNN of its own accord."""
    takes = a.dtype == torch.float32 and takes_onednn(a, b)
    return _Affine.apply(a, a.T, b, None, False) if takes else a @ b


def _onednn(a: Tensor, b: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
    """Return a @ b + bias, or ReLU of it."""
    return torch.ops.mkldnn._linear_pointwise(_dense(a), _dense(b).T, bias, "relu" if relu else "none", [], "")


def _dense(matrix: Tensor) -> Tensor:
    """Return the matrix without gaps between rows or columns; with them oneDNN may be a thousand times slower."""
    return matrix if matrix.is_contiguous() or matrix.T.is_contiguous() else matrix.contiguous()


@functools.cache
def _is_faster(dtype: torch.dtype) -> bool:
    """Whether this processor computes layers of a type faster by oneDNN than torch does otherwise."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    try:
        maker = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return (dtype == torch.float32 and "AuthenticAMD" in maker
            and torch.backends.cpu.get_cpu_capability().startswith("AVX512"))


def _operations(a: torch.Size, b: torch.Size, *_, **__) -> int:
    """Return the floating-point operations of a @ b, for torch's counter, from the shapes [N, I] and [O, I]."""
    return 2 * a.numel() * b[0]


if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
    register_flop_formula(torch.ops.mkldnn._linear_pointwise)(_operations)
