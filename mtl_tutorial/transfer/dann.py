"""DANN: a body that must serve the task and at the same time leave a judge of domains in the dark."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_tutorial.tasks import masked_mean


class _Reversed(torch.autograd.Function):
    """The identity, whose backward multiplies by −λ; also under vmap."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, strength: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        strength, = ctx.saved_tensors
        return -strength * gradient, None


def reverse_gradient(x: Tensor, strength: Tensor | float) -> Tensor:
    """Return x as it is; on the way back its gradient is multiplied by −λ.

    Args:
        x: any shape.
        strength: λ, a scalar.

    Reference: Ganin et al. 2016, Domain-Adversarial Training of Neural Networks, equations 17 and 18.
    """
    return _Reversed.apply(x, torch.as_tensor(strength, dtype=x.dtype, device=x.device))


def reversal_schedule(progress: Tensor) -> Tensor:
    """Return λ = 2 / (1 + e^(−10 p)) − 1 for the progress p of training, 0 … 1; any shape.

    At first the judge learns undisturbed; a body that fled from a judge who knows nothing would follow noise.

    Reference: Ganin et al. 2016, section 5.2.2.
    """
    return 2 * (10 * progress).sigmoid() - 1


class DANN(nn.Module):
    """A judge of domains behind a gradient reversal, for :class:`~mtl_tutorial.transfer.aligned.Aligned`.

    Its loss teaches the judge to tell the domains apart, and the body below to prevent that. Both domains count
    half, whatever their shares of the batch.

    Args:
        width: of the features.
        steps: of the training to come; after them λ stays where it is.
        hidden: units of the judge.
        strength: what λ grows to; of the models of one stack each has its own.

    Reference: Ganin et al. 2016.
    """

    def __init__(self, width: int, steps: int, hidden: int = 32, strength: float = 1.0):
        super().__init__()
        self.judge = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.steps = steps
        self.register_buffer("strength", torch.tensor(float(strength)))
        self.register_buffer("steps_taken", torch.zeros(()))

    def forward(self, features: Tensor, is_target: Tensor) -> Tensor:
        """Map features [B, d] and where they are the target's [B] bool to the judge's loss, a scalar."""
        progress = (self.steps_taken / self.steps).clamp(max=1)
        self.steps_taken.add_(1)
        reversed_features = reverse_gradient(features, self.strength * reversal_schedule(progress))
        logits = self.judge(reversed_features).squeeze(-1)                              # [B]
        loss = F.binary_cross_entropy_with_logits(logits, is_target.to(logits.dtype), reduction="none")
        by_domain = masked_mean(loss.unsqueeze(-1).expand(-1, 2), torch.stack([~is_target, is_target], -1))
        return by_domain.mean()
