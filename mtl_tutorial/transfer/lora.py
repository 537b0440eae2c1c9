"""LoRA: a frozen layer and a trained update of low rank beside it, F_φ = F_θ + Δφ."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.transfer.wrapping import Layer, layer_like, replace_module, weight_of, wrapped


def lora_forward(x: Tensor, weight: Tensor, bias: Tensor, down: Tensor, up: Tensor, alpha: float) -> Tensor:
    """Return y = x W + b + (α/r) x A B: the definition, for one linear layer.

    :class:`LoRALinear` computes the same, for banks of layers as well.

    Args:
        x: [B, I].
        weight: W, frozen, [I, O].
        bias: b, frozen, [O].
        down: A, [I, r].
        up: B, zero at the start, [r, O].
        alpha: α; divided by the rank, so that another rank does not need another learning rate.

    Returns:
        [B, O].

    Reference: Hu et al. 2022, LoRA: Low-Rank Adaptation of Large Language Models, equation 3.
    """
    return x @ weight + bias + alpha / down.shape[-1] * (x @ down) @ up


def merge_lora(weight: Tensor, down: Tensor, up: Tensor, alpha: float) -> Tensor:
    """Return W + (α/r) A B, [..., I, O]: one layer that does what layer and update did, at no extra cost.

    Args:
        weight: W, [..., I, O].
        down: A, [..., I, r].
        up: B, [..., r, O].
        alpha: α.
    """
    return weight + alpha / down.shape[-1] * down @ up


class LoRALinear(nn.Module):
    """A frozen linear layer, or bank of them, with a trained update of low rank: y = x W + b + (α/r) x A B.

    B is zero at the start, so that the layer begins as it was. In a bank every member has an update of its own.

    Args:
        base: the layer; it is frozen.
        rank: r, numbers between A and B.
        alpha: α.

    Raises:
        ValueError: a rank below 1.

    Reference: Hu et al. 2022. Their A starts normal; here and in peft it starts as a linear layer does.
    """

    def __init__(self, base: Layer, rank: int = 4, alpha: float = 8.0):
        super().__init__()
        if rank < 1:
            raise ValueError(f"rank={rank}: an update has at least rank 1")
        inputs, outputs = weight_of(base).shape[-2:]
        self.base, self.rank, self.alpha = base.requires_grad_(False), rank, alpha
        self.down = layer_like(base, inputs, rank, bias=False)
        self.up = layer_like(base, rank, outputs, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map what the layer maps: [..., I] to [..., O]; of a bank, [B, I] or [B, E, I] to [B, E, O]."""
        return self.base(x) + self.alpha / self.rank * self.up(self.down(x))

    @torch.no_grad()
    def merge(self) -> Layer:
        """Return one layer, without an update, that computes the same; trainable."""
        merged = copy.deepcopy(self.base).requires_grad_(True)
        weight, down, up = (weight_of(layer) for layer in (self.base, self.down, self.up))
        weight_of(merged).copy_(merge_lora(weight, down, up, self.alpha))
        return merged

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"rank={self.rank}, alpha={self.alpha}"


def with_lora(model: nn.Module, rank: int = 4, alpha: float = 8.0, inside: Sequence[str] = ("body",),
              train: Sequence[str] = ("towers",)) -> nn.Module:
    """Copy a pretrained model, frozen but for updates of low rank and the parts that are to be trained anyway.

    Args:
        model: pretrained; of a stacked model, every repeat gets updates of its own.
        rank: of the updates.
        alpha: their scale, divided by the rank.
        inside: prefixes of the layers that get an update; ``("",)``: all linear layers.
        train: prefixes of the parameters that are trained besides, such as a new head; ``()``: none.

    Raises:
        ValueError: no linear layer there; a prefix in ``train`` that no parameter's name begins with.
    """
    return wrapped(model, lambda layer: LoRALinear(layer, rank, alpha), inside, train)


def merged(model: nn.Module) -> nn.Module:
    """Copy a model with all its updates merged: the architecture that it had before :func:`with_lora`.

    Raises:
        ValueError: the model has no LoRALinear.
    """
    if isinstance(model, Stacked):
        return Stacked([merged(each) for each in model.models()])
    model = copy.deepcopy(model).requires_grad_(True)
    updated = {name: module for name, module in model.named_modules() if isinstance(module, LoRALinear)}
    if not updated:
        raise ValueError(f"{type(model).__name__} has no LoRALinear: there is nothing to merge")
    for name, module in updated.items():
        replace_module(model, name, module.merge())
    return model
