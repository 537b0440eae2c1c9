"""Learning from clicks alone: each user's item against the other items of the batch."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from mtl_tutorial.tasks import Task


def info_nce(scores: Tensor, items: Tensor, log_q: Tensor) -> Tensor:
    """Return −log of the softmax share of each user's own item among the batch's, corrected by log Q, [..., B].

    The other columns stand for "items not chosen". They come with the batch, so an item is among them as often as
    it is in the data; ``log_q`` takes that out again, of all columns, the own one too. The same item in another row
    is no negative (an accidental hit) and is left out.

    Args:
        scores: s(u, i) of each row's user with each row's item, own items on the diagonal, [..., B, B].
        items: of each row, ids, [..., B].
        log_q: log Q of each row's item, the chance that a row of a batch holds this item, [..., B].

    Reference: van den Oord, Li and Vinyals 2018, Representation Learning with Contrastive Predictive Coding,
    equation 4; Yi et al. 2019, Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations,
    section 3. Yi et al. do not leave out accidental hits.
    """
    corrected = scores - log_q.unsqueeze(-2)                                            # [..., B, B]
    same = items.unsqueeze(-1) == items.unsqueeze(-2)                                   # [..., B, B]
    own = torch.eye(items.shape[-1], dtype=torch.bool, device=items.device)
    return -corrected.masked_fill(same & ~own, -torch.inf).log_softmax(-1).diagonal(dim1=-2, dim2=-1)


def item_shares(items: Tensor, count: int) -> Tensor:
    """Return Q, the share of the rows that each item has, [..., I]; 0 for items that are in no row.

    Args:
        items: of each training row, ids, [..., N].
        count: I.

    Raises:
        ValueError: an id outside 0 … I − 1, or no rows.
    """
    if not items.shape[-1]:
        raise ValueError("no rows: shares of nothing are not defined")
    if items.min() < 0 or items.max() >= count:
        raise ValueError(f"item ids run from {items.min()} to {items.max()}, but count={count}: ids are 0 … "
                         f"{count - 1}")
    times = torch.zeros(*items.shape[:-1], count, device=items.device)
    return times.scatter_add(-1, items, torch.ones_like(items, dtype=times.dtype)) / items.shape[-1]


class InBatchSoftmax(Task):
    """The task of telling a user's item from the batch's other items, for :func:`~mtl_tutorial.training.fit`.

    The model emits the scores of every user with every item of the batch, [..., B, B]
    (:class:`~mtl_tutorial.models.two_tower.TwoTower` does); the target is the item's id. What the scores become
    depends on ``shares``, up to a constant per user, where Q(i) = P(i | click) is the share of the rows:

    - equal shares, no correction: log P(i | u) − log Q(i);
    - ``shares`` Q, the log-Q correction: log P(i | u), who clicks what in these data;
    - ``shares`` in proportion to Q(i) / exposure(i), the click rate: log P(click | u, i shown).

    Args:
        name: of the target, item ids, and of the model's output.
        shares: what is divided out of each item's odds, summing to 1 over items, [I]; for a stack [R, I].

    Raises:
        ValueError: shares that are negative or do not sum to 1; in training, a batch of one row, an item without
            a share, scores of another shape.

    Reference: as for :func:`info_nce`.
    """

    shares: Tensor

    def __init__(self, name: str, shares: Tensor):
        super().__init__(name, "multiclass", shares.shape[-1])
        total = shares.sum(-1)
        if not (shares >= 0).all() or not torch.allclose(total, torch.ones_like(total), atol=1e-4):
            raise ValueError(f"task {name!r}: shares must be 0 or more and sum to 1 over the {shares.shape[-1]} "
                             f"items, but the least is {shares.min():.3g} and the sum {total.tolist()}: see "
                             "item_shares")
        object.__setattr__(self, "shares", shares)

    def __repr__(self) -> str:
        """Show a hash of the shares: a checkpoint must not be continued with others."""
        digest = hashlib.sha256(self.shares.cpu().contiguous().numpy().tobytes()).hexdigest()
        return f"InBatchSoftmax({self.name!r}, shares {tuple(self.shares.shape)} {digest[:12]})"

    def row_loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row, [..., B].

        Args:
            output: scores, [..., B, B].
            target: item ids, [..., B].
        """
        rows = target.shape[-1]
        if rows < 2:
            raise ValueError(f"task {self.name!r}: a batch of one row has no other items to tell its own from; "
                             "choose a batch_size that leaves no last batch of one row")
        if output.shape != (*target.shape, rows):
            raise ValueError(f"task {self.name!r}: the scores have shape {tuple(output.shape)}, but {rows} users "
                             f"with {rows} items make {(*target.shape, rows)}: the model must score every pair")
        if target.min() < 0 or target.max() >= self.classes:
            raise ValueError(f"task {self.name!r}: unknown item; ids run from {target.min()} to {target.max()}, "
                             f"the shares know 0 … {self.classes - 1}")
        share = self.shares.to(target.device).expand(*target.shape[:-1], -1).gather(-1, target)         # [..., B]
        if not share.all():
            raise ValueError(f"task {self.name!r}: item {int(target[share == 0][0])} has share 0, yet it is in the "
                             "batch; count the shares on the rows that are trained on")
        return info_nce(output, target, share.log().to(output.dtype))
