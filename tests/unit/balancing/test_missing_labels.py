"""Batches that hold no label of some task, and methods built for another model: what each method does."""

import pytest
import torch

from mtl_tutorial.balancing.dwa import DWA
from mtl_tutorial.balancing.famo import FAMO
from mtl_tutorial.balancing.grad_norm import GradNorm
from mtl_tutorial.balancing.scalarizer import StaticWeights
from mtl_tutorial.balancing.uncertainty_weighting import UncertaintyWeighting
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit

PAIR = [Task("first"), Task("second")]
LAYER = "body.layers.0.weight"


def weights_on(balance, losses):
    losses = torch.tensor(losses, requires_grad=True)
    return torch.autograd.grad(balance(losses).sum(), losses)[0].tolist()


def test_dwa_takes_a_task_without_labels_as_unchanged():
    balance = DWA(PAIR, period=1)
    for losses in ([1.0, 0.0], [0.5, 0.0]):
        balance(torch.tensor(losses))
    first, second = weights_on(balance, [0.5, 0.7])
    assert 0 < first < 1 < second < 2                   # the first has halved; the second has ratio 1


@pytest.mark.parametrize("absent", [0, 1])
def test_famo_gives_the_step_to_the_tasks_that_are_there(absent):
    losses = [0.6, 0.6]
    losses[absent] = 0.0
    found = weights_on(FAMO(PAIR), losses)
    assert found[absent] == 0
    assert found[1 - absent] == pytest.approx(1.0, abs=1e-5)


def test_famo_learns_nothing_of_a_task_that_is_not_there():
    balance = FAMO(PAIR)
    balance(torch.tensor([0.6, 0.0]))
    balance.after_step(torch.tensor([0.3, 0.0]))
    assert balance.logits.tolist() == [0.0, 0.0]


def test_famo_stays_finite_where_no_task_has_a_label():
    balance = FAMO(PAIR)
    assert weights_on(balance, [0.0, 0.0]) == [0.0, 0.0]
    balance.after_step(torch.zeros(2))
    assert balance.logits.isfinite().all()


@pytest.mark.parametrize("first_batch_without", [True, False])
def test_gradnorm_does_not_mind_when_a_label_first_appears(first_batch_without, mixed_table, mixed_tasks):
    table = mixed_table(400)
    quiet = table.with_targets({**table.targets, "spend": 30 * table.targets["spend"]}, dict(table.masks))
    if first_batch_without:
        hidden = quiet.masks["spend"].clone()
        order = next(iter(table.batches(50, torch.Generator().manual_seed(0))))
        hidden[order] = False
        quiet = table.with_targets(dict(quiet.targets), {"spend": hidden})
    torch.manual_seed(0)
    model = SharedBottom(table.schema, mixed_tasks, widths=(8,))
    balance = GradNorm(mixed_tasks, LAYER, lr=0.02)
    fit(model, quiet, mixed_tasks, balance, epochs=8, batch_size=50)
    click, segment, spend = balance.weights.tolist()
    assert spend < min(click, segment)                  # the loud task is turned down either way
    assert (balance.first_losses > 0).all()


def test_gradnorm_keeps_its_weights_in_a_batch_without_some_label(mixed_table, mixed_tasks):
    table = mixed_table(40)
    hidden = table.with_targets(dict(table.targets), {"spend": torch.zeros(40, dtype=torch.bool)})
    balance = GradNorm(mixed_tasks, LAYER)
    fit(SharedBottom(table.schema, mixed_tasks, widths=(8,)), hidden, mixed_tasks, balance, epochs=3, batch_size=20)
    assert balance.weights.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("balance", [
    UncertaintyWeighting(PAIR), DWA(PAIR, period=2), FAMO(PAIR), GradNorm(PAIR, LAYER),
    StaticWeights([1.0, 2.0, 3.0]), StaticWeights([1.0])], ids=lambda balance: type(balance).__name__)
def test_losses_of_other_tasks_or_repeats_are_refused(balance):
    with pytest.raises(ValueError, match=r"the losses have shape \(3, 2\), but the method was built for"):
        balance(torch.ones(3, 2))


def test_weights_for_a_stack_are_refused_by_one_model():
    with pytest.raises(ValueError, match=r"the losses have shape \(2,\), but the method was built for \(3, 2\)"):
        StaticWeights([[1.0, 2.0]] * 3)(torch.ones(2))


def test_bounds_that_are_not_one_per_task_are_refused():
    with pytest.raises(ValueError, match="1 lower bounds for 2 tasks"):
        FAMO(PAIR, lower_bounds=[0.0])
