"""The parameters of a model: counted, and found by name."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def dense_parameters(model: nn.Module) -> int:
    """Return the number of trained parameters outside embedding tables; of a stacked model, of one repeat."""
    architecture = getattr(model, "architecture", model)
    dense = {parameter for module in architecture.modules() if not isinstance(module, nn.Embedding)
             for parameter in module.parameters(recurse=False) if parameter.requires_grad}
    return sum(parameter.numel() for parameter in dense)


def trained_parameters(model: nn.Module) -> int:
    """Return the number of trained parameters, embeddings included; of a stacked model, of one repeat."""
    total = sum(parameter.numel() for parameter in named_weights(model).values() if parameter.requires_grad)
    return total // (getattr(model, "repeats", None) or 1)


def named_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return name -> parameter, by the names of the architecture.

    They are those of ``named_parameters`` but for a model around another one, such as a stack of repeats, which
    says by its property ``named_weights`` what its parameters are called inside.
    """
    return model.named_weights if hasattr(model, "named_weights") else dict(model.named_parameters())


def longest_prefix(name: str, prefixes: Iterable[str]) -> str | None:
    """Return the longest of the prefixes that ``name`` begins with, or None.

    A prefix ends where a part of the name ends: ``"body"`` fits ``"body.layers.0.weight"``, but not
    ``"body_2.weight"``. The empty prefix fits every name.
    """
    fitting = [prefix for prefix in prefixes if not prefix or name == prefix or name.startswith(prefix + ".")]
    return max(fitting, key=len, default=None)


def refuse_unknown_prefixes(prefixes: Iterable[str], names: Iterable[str]) -> None:
    """Raise ValueError for a prefix that none of the names begins with, listing what they begin with."""
    names = list(names)
    for prefix in prefixes:
        if not any(longest_prefix(name, [prefix]) is not None for name in names):
            parent = prefix
            while parent and not any(longest_prefix(name, [parent]) is not None for name in names):
                parent = parent.rpartition(".")[0]
            depth = parent.count(".") + 2 if parent else 1
            below = dict.fromkeys(".".join(name.split(".")[:depth]) for name in names
                                  if longest_prefix(name, [parent]) is not None)
            raise ValueError(f"no parameter is called {prefix!r} or {prefix + '.…'!r}; there is {', '.join(below)}")
