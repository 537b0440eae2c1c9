"""Learning rates that differ between the parts of a model."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mtl_tutorial.parameters import longest_prefix, named_weights, refuse_unknown_prefixes


def groups_by_rate(lr: float | Mapping[str, float], model: nn.Module, balance: nn.Module) -> list[dict]:
    """Return the trainable parameters of model and balancer as an optimizer wants them, one group per rate.

    Args:
        lr: one rate, or one for each prefix of the parameters' names; the longest prefix that fits decides.
        model: its parameters go by the names of :func:`~mtl_tutorial.parameters.named_weights`.
        balance: its parameters are called ``balance.…``.

    Returns:
        Groups ``{"params": …, "lr": …}`` in the order in which their first parameters come.

    Raises:
        ValueError: nothing to train; a trainable parameter that no prefix fits; a prefix that fits no parameter.

    Reference: Howard and Ruder 2018, Universal Language Model Fine-tuning for Text Classification, section 3.2.
    """
    named = named_weights(model) | {f"balance.{name}": p for name, p in balance.named_parameters()}
    trained = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
    if not trained:
        raise ValueError("nothing to train: every parameter is frozen; see mtl_tutorial.transfer.freezing.unfreeze")
    if not isinstance(lr, Mapping):
        return [{"params": list(trained.values()), "lr": lr}]
    refuse_unknown_prefixes(lr, named)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in trained.items():
        prefix = longest_prefix(name, lr)
        if prefix is None:
            raise ValueError(f"parameter {name!r} has no learning rate; lr has {', '.join(map(repr, lr))}: add a "
                             "prefix that fits, or \"\" for all others, or freeze the parameter")
        groups.setdefault(lr[prefix], []).append(parameter)
    return [{"params": parameters, "lr": rate} for rate, parameters in groups.items()]
