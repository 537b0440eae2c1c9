"""L2-SP: fine-tuning on a leash that is tied to the pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from mtl_tutorial.models.wrapped import Wrapped
from mtl_tutorial.parameters import longest_prefix, named_weights, refuse_unknown_prefixes


def l2_sp_penalty(weights: Mapping[str, Tensor], start: Mapping[str, Tensor], alpha: float, beta: float) -> Tensor:
    """Return α/2 ‖w_S − w_S⁰‖² + β/2 ‖w_new‖², a scalar.

    Args:
        weights: name -> weights as they are now.
        start: name -> pretrained weights, of the part S alone; a name that is not there is new in the target model.
        alpha: pull towards the start.
        beta: pull of the new weights towards zero.

    Reference: Li, Grandvalet and Davoine 2018, Explicit Inductive Bias for Transfer Learning with Convolutional
    Networks, equation 3.
    """
    kept = [(weights[name] - begin).square().sum() for name, begin in start.items()]
    new = [value.square().sum() for name, value in weights.items() if name not in start]
    return alpha / 2 * sum(kept) + beta / 2 * sum(new)


class L2SP(Wrapped):
    """A model whose ``penalty`` holds its weights near those that it has now.

    ``fit(L2SP(model, alpha, beta), …)`` trains ``model`` itself, in place. Everything but the penalty is the
    model's: its outputs, its repeats (each has a start of its own), the names of its parameters. A penalty that the
    model has already is added.

    Args:
        model: pretrained; the weights that it has now are the start.
        alpha: pull of the pretrained weights towards the start.
        beta: pull of the new ones towards zero.
        new: prefixes of the parameters that were not pretrained, such as ``("towers",)``.

    Raises:
        ValueError: a prefix that no parameter's name begins with; a negative alpha or beta.

    Reference: Li, Grandvalet and Davoine 2018.
    """

    def __init__(self, model: nn.Module, alpha: float, beta: float, new: Sequence[str] = ()):
        super().__init__(model)
        if alpha < 0 or beta < 0:
            raise ValueError(f"alpha={alpha}, beta={beta}: neither may be negative, or weights are driven away")
        named = named_weights(model)
        refuse_unknown_prefixes(new, named)
        self.alpha, self.beta = alpha, beta
        for name, value in named.items():
            if longest_prefix(name, new) is None:
                self.register_buffer(_key(name), value.detach().clone())

    @property
    def named_weights(self) -> dict[str, nn.Parameter]:
        """Return name -> parameter, by the names inside the model."""
        return named_weights(self.model)

    def penalty(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Return the penalty, a scalar: of a stacked model, summed over its repeats."""
        weights = named_weights(self.model)
        start = {name: self._buffers[_key(name)] for name in weights if _key(name) in self._buffers}
        own = l2_sp_penalty(weights, start, self.alpha, self.beta)
        return own + self.model.penalty(outputs).sum() if hasattr(self.model, "penalty") else own


def _key(name: str) -> str:
    return "start/" + name.replace(".", "/")        # a buffer's name holds no dots
