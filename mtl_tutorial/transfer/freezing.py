"""Which parts of a model are trained."""

from __future__ import annotations

from torch import nn

from mtl_tutorial.parameters import longest_prefix, named_weights, refuse_unknown_prefixes


def freeze(model: nn.Module, *prefixes: str) -> None:
    """Stop training the parameters whose names begin with one of the prefixes; all of them without a prefix.

    In place. Running statistics, as of batch normalisation, still move while the model is in training mode.

    Args:
        model: of a stacked model, the names are those of the architecture.
        prefixes: whole parts of a name: ``"body"``, ``"body.layers.0"``, ``"body.layers.0.bias"``.

    Raises:
        ValueError: a prefix that no parameter's name begins with; the message lists what there is.
    """
    _set_trained(model, prefixes, False)


def unfreeze(model: nn.Module, *prefixes: str) -> None:
    """Train the parameters whose names begin with one of the prefixes again; see :func:`freeze`."""
    _set_trained(model, prefixes, True)


def _set_trained(model: nn.Module, prefixes: tuple[str, ...], trained: bool) -> None:
    names = named_weights(model)
    refuse_unknown_prefixes(prefixes, names)
    architecture = getattr(model, "architecture", None)         # of a stack: it is what parameters are counted by
    for named in (names, named_weights(architecture) if architecture is not None else {}):
        for name, parameter in named.items():
            if not prefixes or longest_prefix(name, prefixes) is not None:
                parameter.requires_grad_(trained)
