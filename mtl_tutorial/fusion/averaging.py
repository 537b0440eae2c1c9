"""The one line of federated averaging."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def federated_average(weights: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """Return Σ_c n_c w_c / Σ_c n_c, each client's weights counted by its rows.

    Args:
        weights: name -> the C clients' weights side by side, [C, …]; in G groups, [G, C, …]. Integers (a counter, a
            table of offsets) have no mean: the first client's are kept.
        rows: n_c, of each client, [C] or [G, C]; 0 leaves a client out.

    Returns:
        Name -> the average, […] or [G, …], in the dtype of the weights.

    Raises:
        ValueError: no clients, negative rows or none at all, weights of another number of clients or not finite.

    Reference: McMahan et al. 2017, Communication-Efficient Learning of Deep Networks from Decentralized Data,
    algorithm 1.
    """
    clients = rows.dim() - 1                                        # the dimension of the clients
    if rows.numel() == 0:
        raise ValueError("no clients: there is nothing to average")
    if (rows < 0).any() or (rows.sum(clients) == 0).any():
        raise ValueError(f"rows {rows.tolist()} must not be negative, and not all of a group may be 0")
    counts = rows.cpu().double()                                    # exact, and there is no float64 on MPS
    share = counts / counts.sum(clients, keepdim=True)                                  # [(G,) C]
    averaged = {}
    for name, value in weights.items():
        if value.shape[:rows.dim()] != rows.shape:
            raise ValueError(f"weights {name!r} have shape {list(value.shape)}, but the rows say "
                             f"{list(rows.shape)} clients")
        if not value.is_floating_point():
            averaged[name] = value.select(clients, 0).clone()
            continue
        if not value.isfinite().all():
            raise ValueError(f"client weights {name!r} are not finite: lower the learning rate, or leave it out")
        counted = share.to(value).reshape(share.shape + (1,) * (value.dim() - share.dim()))
        averaged[name] = (counted * value).sum(clients)
    return averaged
