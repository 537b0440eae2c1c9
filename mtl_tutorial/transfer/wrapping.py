"""Small trained modules around the frozen layers of a pretrained model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from mtl_tutorial.layers.bank import BankLinear
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.parameters import longest_prefix
from mtl_tutorial.transfer.freezing import freeze, unfreeze

Layer = nn.Linear | BankLinear


def layer_like(layer: Layer, inputs: int, outputs: int, bias: bool) -> Layer:
    """Make a layer of other widths of the same kind, device and dtype: linear, or with as many members."""
    made = (BankLinear(len(layer.weight), inputs, outputs, bias) if isinstance(layer, BankLinear)
            else nn.Linear(inputs, outputs, bias))
    return made.to(layer.weight)


def weight_of(layer: Layer) -> Tensor:
    """Return the matrices W of y = x W + b, [I, O], or [E, I, O] of a bank; a view of the layer's weight."""
    return layer.weight if isinstance(layer, BankLinear) else layer.weight.T


def wrapped(model: nn.Module, wrap: Callable[[Layer], nn.Module], inside: Sequence[str],
            train: Sequence[str]) -> nn.Module:
    """Copy a model, freeze it, and wrap its linear layers.

    Args:
        model: pretrained; of a stacked model, every repeat is wrapped on its own.
        wrap: from a linear layer, or a bank of them, to what takes its place.
        inside: prefixes of the layers' names.
        train: prefixes of the parameters that are trained besides what ``wrap`` adds.

    Raises:
        ValueError: no linear layer there; a prefix in ``train`` that no parameter's name begins with.
    """
    if isinstance(model, Stacked):
        return Stacked([wrapped(each, wrap, inside, train) for each in model.models()])
    model = copy.deepcopy(model)
    freeze(model)
    if train:
        unfreeze(model, *train)
    layers = {name: module for name, module in model.named_modules() if name and isinstance(module, Layer)}
    for prefix in inside:
        if not any(longest_prefix(name, [prefix]) is not None for name in layers):
            raise ValueError(f"no linear layer inside {prefix!r}; linear layers are {', '.join(layers)}")
    for name, layer in layers.items():
        if longest_prefix(name, inside) is not None:
            replace_module(model, name, wrap(layer))
    return model


def replace_module(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of the one with this name."""
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, module)
