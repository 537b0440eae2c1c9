import math

import pytest
import torch

from mtl_tutorial.data.marketplace import Shop
from mtl_tutorial.data.table import Table
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.training import fit
from mtl_tutorial.zero_shot.info_nce import InBatchSoftmax, info_nce, item_shares


def by_loops(scores, items, log_q):
    """Row by row: the own pair against every row with another item, each exp(s) divided by Q."""
    losses = []
    for row in range(len(items)):
        own = math.exp(scores[row][row]) / math.exp(log_q[row])
        others = sum(math.exp(scores[row][j]) / math.exp(log_q[j])
                     for j in range(len(items)) if items[j] != items[row])
        losses.append(-math.log(own / (own + others)))
    return losses


def drawn(seed, rows=7, items=4):
    generator = torch.Generator().manual_seed(seed)
    shares = torch.rand(items, generator=generator, dtype=torch.float64) + 0.1
    ids = torch.randint(items, (rows,), generator=generator)
    return torch.randn(rows, rows, generator=generator, dtype=torch.float64), ids, (shares / shares.sum())


@pytest.mark.parametrize("seed", range(4))
def test_loss_equals_plain_loops_with_items_that_occur_twice(seed):
    scores, ids, shares = drawn(seed)
    assert len(ids.unique()) < len(ids)
    losses = by_loops(scores.tolist(), ids.tolist(), shares.log()[ids].tolist())
    expected = torch.tensor(losses, dtype=torch.float64)
    torch.testing.assert_close(info_nce(scores, ids, shares.log()[ids]), expected, rtol=0, atol=1e-12)


def test_leading_dimensions_are_losses_side_by_side():
    parts = [(scores, ids, shares.log()[ids]) for scores, ids, shares in map(drawn, range(3))]
    scores, ids, log_q = (torch.stack(column) for column in zip(*parts, strict=True))
    together = info_nce(scores, ids, log_q)
    for r in range(3):
        torch.testing.assert_close(together[r], info_nce(scores[r], ids[r], log_q[r]), rtol=0, atol=0)


def test_without_accidental_hits_and_correction_it_is_the_cross_entropy_of_the_diagonal():
    scores, items, none = drawn(0)[0], torch.arange(7), torch.zeros(7, dtype=torch.float64)
    expected = torch.nn.functional.cross_entropy(scores, items, reduction="none")
    torch.testing.assert_close(info_nce(scores, items, none), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(info_nce(scores, items, none - 3), expected, rtol=0, atol=1e-12)


def test_gradients_pass_the_accidental_hits_by():
    scores, ids, shares = drawn(0)
    scores.requires_grad_()
    info_nce(scores, ids, shares.log()[ids]).sum().backward()
    hits = (ids.unsqueeze(0) == ids.unsqueeze(1)) & ~torch.eye(7, dtype=torch.bool)
    assert scores.grad.isfinite().all()
    assert (scores.grad[hits] == 0).all()
    assert (scores.grad[~hits] != 0).all()


def test_batch_of_one_item_alone_teaches_nothing():
    scores = torch.randn(3, 3, requires_grad=True)
    loss = info_nce(scores, torch.tensor([2, 2, 2]), torch.zeros(3))
    loss.sum().backward()
    assert loss.tolist() == [0, 0, 0]
    assert (scores.grad == 0).all()


@pytest.mark.parametrize(("divided_by", "expected"), [
    ("equal", lambda clicks, rate: -rate), ("clicks", lambda clicks, rate: clicks - rate),
    ("click rate", lambda clicks, rate: torch.zeros_like(rate))])
def test_what_the_scores_learn_of_an_item_beside_the_true_preference_is_as_derived(divided_by, expected):
    """s = log p(u, i) + b(i): b is −log rate without correction, log exposure with log Q, 0 with the click rate."""
    shop = Shop.open(seed=0, users=60, items=12, scenario_shift=0.0)
    chance = shop.truth_of_pairs()["click"]                                             # [U, I]
    joint = shop.users.activity.unsqueeze(-1) * shop.items.popularity * chance
    joint, clicks = joint / joint.sum(), joint.sum(0) / joint.sum()
    rate = clicks / shop.items.popularity                                               # up to a factor
    shares = {"equal": torch.ones(12), "clicks": clicks, "click rate": rate}[divided_by]
    shares = shares / shares.sum()
    generator = torch.Generator().manual_seed(0)
    bias = torch.zeros(12, requires_grad=True)
    optimizer = torch.optim.Adam([bias], lr=0.03)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, 1500)
    for _ in range(1500):
        pair = torch.multinomial(joint.flatten(), 64, replacement=True, generator=generator)
        user, item = pair // 12, pair % 12
        scores = chance.log()[user][:, item] + bias[item]
        optimizer.zero_grad()
        InBatchSoftmax("item", shares).row_loss(scores, item).mean().backward()
        optimizer.step()
        schedule.step()
    wanted = expected(clicks.log(), rate.log())
    off = (bias.detach() - wanted) - (bias.detach() - wanted).mean()
    assert off.abs().max() < 0.2
    spread = max((rate.log() - rate.log().mean()).abs().max(), (clicks.log() - clicks.log().mean()).abs().max())
    assert spread > 0.6


def test_shares_are_counted_over_each_repeats_own_rows():
    ids = torch.tensor([[0, 0, 2, 1], [1, 1, 1, 1]])
    assert item_shares(ids, 4).tolist() == [[0.5, 0.25, 0.25, 0.0], [0.0, 1.0, 0.0, 0.0]]


@pytest.mark.parametrize(("ids", "message"), [([0, 4], "from 0 to 4, but count=4"), ([-1, 2], "from -1 to 2"),
                                              ([], "no rows")])
def test_shares_of_foreign_ids_or_of_nothing_are_refused(ids, message):
    with pytest.raises(ValueError, match=message):
        item_shares(torch.tensor(ids, dtype=torch.long), 4)


@pytest.mark.parametrize("shares", [[0.5, 0.4], [1.5, -0.5], [0.0, 0.0], [float("nan"), 1.0]])
def test_shares_that_are_no_distribution_are_refused(shares):
    with pytest.raises(ValueError, match="0 or more and sum to 1 over the 2 items"):
        InBatchSoftmax("item", torch.tensor(shares))


@pytest.mark.parametrize(("rows", "ids", "message"), [
    (1, [0], "a batch of one row"), (2, [0, 3], "unknown item; ids run from 0 to 3, the shares know 0 … 2"),
    (2, [0, -1], "unknown item"), (2, [0, 1], "item 1 has share 0"), (3, [0, 2], "make \\(2, 2\\)")])
def test_batch_that_cannot_be_scored_is_refused(rows, ids, message):
    with pytest.raises(ValueError, match=message):
        InBatchSoftmax("item", torch.tensor([0.4, 0.0, 0.6])).row_loss(torch.zeros(rows, rows), torch.tensor(ids))


def test_tasks_with_other_shares_have_another_name_in_a_checkpoint():
    first, second = (repr(InBatchSoftmax("item", torch.tensor(q))) for q in ([0.5, 0.5], [0.4, 0.6]))
    assert first != second
    assert first == repr(InBatchSoftmax("item", torch.tensor([0.5, 0.5])))


class Pairs(torch.nn.Module):
    """A score for every user and item, in a table."""

    def __init__(self):
        super().__init__()
        self.scores = torch.nn.Parameter(torch.randn(5, 4))

    def forward(self, inputs):
        return {"item": self.scores[inputs.categorical[:, 0]][:, inputs.categorical[:, 1]]}


def test_fit_trains_a_stack_with_shares_of_its_own_for_each_repeat_as_it_trains_each_alone(monkeypatch):
    in_order = Table.batches
    monkeypatch.setattr(Table, "batches", lambda table, size, generator=None: in_order(table, size))
    tables, models = [], []
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        ids = torch.stack([torch.randint(size, (40,), generator=generator) for size in (5, 4)], 1)
        tables.append(Table(ids, (5, 4), torch.zeros(40, 0), targets={"item": ids[:, 1]}))
        torch.manual_seed(seed)
        models.append(Pairs())
    shares = torch.stack([item_shares(table.targets["item"], 4) for table in tables])
    shares[1] = torch.tensor([0.1, 0.2, 0.3, 0.4])
    knobs = {"epochs": 3, "batch_size": 16, "lr": 0.05, "device": "cpu"}
    stacked = Stacked(models)
    history = fit(stacked, Table.stack(tables), [InBatchSoftmax("item", shares)], **knobs)
    for r, (model, table) in enumerate(zip(models, tables, strict=True)):
        alone = fit(model, table, [InBatchSoftmax("item", shares[r])], **knobs)
        torch.testing.assert_close(history.losses[:, r], alone.losses, rtol=0, atol=1e-5)
        torch.testing.assert_close(stacked.models()[r].scores, model.scores, rtol=0, atol=1e-5)
        assert history.losses[-3:, r].mean() < history.losses[:3, r].mean()


def test_last_batch_of_one_row_is_refused_by_name():
    ids = torch.zeros(9, 2, dtype=torch.long)
    table = Table(ids, (5, 4), torch.zeros(9, 0), targets={"item": ids[:, 1]})
    with pytest.raises(ValueError, match="batch_size that leaves no last batch of one row"):
        fit(Pairs(), table, [InBatchSoftmax("item", torch.full((4,), 0.25))], batch_size=4, device="cpu")
