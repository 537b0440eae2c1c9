"""FedAvg: clients train a common model where the rows are; only weights travel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mtl_tutorial.fusion.averaging import federated_average
from mtl_tutorial.fusion.clients import Clients
from mtl_tutorial.fusion.local_training import copies_for_clients, train_locally
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.tasks import Task


class FedAvg:
    """Rounds of local training and averaging: w ← Σ_c n_c w_c / Σ_c n_c.

    All clients of all groups train at once, as one stacked model.

    Args:
        model: the G groups' common models, trained in place; one group is a stack of one.
        lr: of the clients' SGD. As in the paper, nothing of an optimiser is kept from round to round.
        local_steps: of each client in a round. (The paper counts epochs: there, large clients take more steps.)
        batch_size: rows of a step; None takes all rows of the client, and with one local step that is a gradient
            step on the pool (FedSGD), if every row has every label: clients count by rows, a loss by labels.
        per_round: clients drawn for each round; all if left out.

    Attributes:
        rounds_: rounds done so far, over all calls of :meth:`fit`.
        traffic_: bytes sent by one group's server and clients so far, up and down.

    Raises:
        ValueError: a rate that is not positive, steps, batch size or clients per round below 1.

    Reference: McMahan et al. 2017, Communication-Efficient Learning of Deep Networks from Decentralized Data.
    """

    def __init__(self, model: Stacked, *, lr: float, local_steps: int = 1, batch_size: int | None = None,
                 per_round: int | None = None):
        if lr <= 0:
            raise ValueError(f"lr={lr} must be positive")
        for name, value in (("local_steps", local_steps), ("batch_size", batch_size), ("per_round", per_round)):
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        self.model, self.lr, self.local_steps = model, lr, local_steps
        self.batch_size, self.per_round = batch_size, per_round
        self.rounds_ = self.traffic_ = 0

    def fit(self, clients: Clients, tasks: Sequence[Task], rounds: int, *, seed: int = 0,
            after_round: Callable[[], None] | None = None) -> FedAvg:
        """Train for some rounds and return self.

        Args:
            clients: the rows of G groups.
            tasks: what to learn.
            rounds: of communication.
            seed: of the batches, of the clients drawn and of any noise.
            after_round: called at the end of each round, to look at ``model``.

        Raises:
            ValueError: a model for another number of groups, more clients per round than there are, weights that
                are no longer finite.
        """
        if self.model.repeats != clients.groups:
            raise ValueError(f"a model of {self.model.repeats} groups for clients of {clients.groups}")
        if self.per_round is not None and self.per_round > clients.each:
            raise ValueError(f"per_round={self.per_round} of only {clients.each} clients")
        generator = torch.Generator().manual_seed(seed)
        local = copies_for_clients(self.model, clients.each)
        for _ in range(rounds):
            taking_part = self._draw(clients.rows, generator)                           # [G, C] bool
            start = self._broadcast(local, clients.each)
            train_locally(local, clients, tasks, steps=self.local_steps, lr=self.lr, batch_size=self.batch_size,
                          generator=generator, pull=self._pull(start))
            trained = {name: value.detach().unflatten(0, clients.rows.shape)            # [G, C, …] each
                       for name, value in local.named_weights.items()}
            common = self._aggregate(trained, clients.rows * taking_part, generator)
            with torch.no_grad():
                for name, value in self.model.named_weights.items():
                    value.copy_(common[name])
            self.rounds_ += 1
            self.traffic_ += 2 * weight_bytes(self.model) * (self.per_round or clients.each)
            if after_round is not None:
                after_round()
        self.model.eval()
        return self

    def _draw(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Say who takes part in a round, [G, C] bool."""
        if self.per_round is None:
            return torch.ones_like(rows, dtype=torch.bool)
        order = torch.rand(rows.shape, generator=generator).argsort(1).argsort(1)
        return (order < self.per_round).to(rows.device)

    @torch.no_grad()
    def _broadcast(self, local: Stacked, each: int) -> dict[str, Tensor]:
        """Give every client the common weights; return what it got, [G·C, …]."""
        start = {name: value.repeat_interleave(each, 0) for name, value in self.model.named_weights.items()}
        for name, value in local.named_weights.items():
            value.copy_(start[name])
        return start

    def _pull(self, start: Mapping[str, Tensor]) -> Callable[[Stacked], Tensor] | None:
        """Return what is added to the clients' losses: nothing here."""
        return None

    def _aggregate(self, trained: Mapping[str, Tensor], rows: Tensor,
                   generator: torch.Generator) -> dict[str, Tensor]:
        """Turn the clients' weights [G, C, …] into common ones [G, …]; those with 0 rows did not take part."""
        return federated_average(trained, rows)


def weight_bytes(model: Stacked) -> int:
    """Return the size of one model's weights in bytes: what travels one way to or from one client."""
    return sum(value[0].numel() * value.element_size() for value in model.named_weights.values())
