"""Adapters: small trained networks behind the frozen layers of a pretrained model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtl_tutorial.transfer.wrapping import Layer, layer_like, weight_of, wrapped


class Adapter(nn.Module):
    """A frozen linear layer, or bank of them, followed by a bottleneck with a bypass: y + relu(y D + d) U + u.

    U and u are zero at the start, so that the layer begins as it was. Unlike LoRA's update it is not linear and
    cannot be merged: the two products stay when the model is served.

    Args:
        base: the layer; it is frozen.
        bottleneck: numbers between D and U.

    Raises:
        ValueError: a bottleneck below 1.

    Reference: Houlsby et al. 2019, Parameter-Efficient Transfer Learning for NLP, figure 2. Their adapters start
    near the identity, and stand behind a sublayer of a transformer; here behind a layer, before its ReLU.
    """

    def __init__(self, base: Layer, bottleneck: int = 4):
        super().__init__()
        if bottleneck < 1:
            raise ValueError(f"bottleneck={bottleneck}: it holds at least 1 number")
        width = weight_of(base).shape[-1]
        self.base = base.requires_grad_(False)
        self.down = layer_like(base, width, bottleneck, bias=True)
        self.up = layer_like(base, bottleneck, width, bias=True)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map what the layer maps: [..., I] to [..., O]; of a bank, [B, I] or [B, E, I] to [B, E, O]."""
        y = self.base(x)
        return y + self.up(self.down(y).relu())


def with_adapters(model: nn.Module, bottleneck: int = 4, inside: Sequence[str] = ("body",),
                  train: Sequence[str] = ("towers",)) -> nn.Module:
    """Copy a pretrained model, frozen but for adapters and the parts that are to be trained anyway.

    Args:
        model: pretrained; of a stacked model, every repeat gets adapters of its own.
        bottleneck: width of the adapters.
        inside: prefixes of the layers that get one; ``("",)``: all linear layers.
        train: prefixes of the parameters that are trained besides, such as a new head; ``()``: none.

    Raises:
        ValueError: no linear layer there; a prefix in ``train`` that no parameter's name begins with.
    """
    return wrapped(model, lambda layer: Adapter(layer, bottleneck), inside, train)
