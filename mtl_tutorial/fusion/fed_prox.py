"""FedProx: FedAvg whose clients are held near the weights that they were sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from mtl_tutorial.fusion.fed_avg import FedAvg
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.transfer.l2_sp import l2_sp_penalty


class FedProx(FedAvg):
    """FedAvg with μ/2 ‖w − w_sent‖² in every client's loss, against drift in long local training on skewed rows.

    (The penalty is L2-SP's, with what the server sent for the pretrained start.) With μ = 0 it is FedAvg. The paper
    also lets slow clients do fewer steps; here all do the same.

    Args:
        model: as for :class:`FedAvg`.
        mu: the pull μ. SGD is stable only for lr · μ < 2; from 1 on, the pull overshoots.
        settings: those of :class:`FedAvg`.

    Raises:
        ValueError: a negative μ, or lr · μ of 1 or more; and as :class:`FedAvg`.

    Reference: Li et al. 2020, Federated Optimization in Heterogeneous Networks, equation 2.
    """

    def __init__(self, model: Stacked, *, mu: float, **settings):
        super().__init__(model, **settings)
        if mu < 0:
            raise ValueError(f"mu={mu}: the pull must not be negative, or clients are driven away")
        if mu * self.lr >= 1:
            raise ValueError(f"lr · mu = {mu * self.lr:g}: a step of 1 or more jumps over what it is pulled to; "
                             "lower one of them")
        self.mu = mu

    def _pull(self, start: Mapping[str, Tensor]) -> Callable[[Stacked], Tensor]:
        """Return the proximal term, summed over clients: each sees the gradient of its own."""
        return lambda local: l2_sp_penalty(local.named_weights, start, self.mu, 0.0)
