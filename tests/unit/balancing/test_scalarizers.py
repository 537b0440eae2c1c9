"""The weights that scalarizers put on losses."""

import math

import pytest
import torch

from mtl_tutorial.balancing.dwa import DWA, dwa_weights
from mtl_tutorial.balancing.famo import FAMO
from mtl_tutorial.balancing.random_loss_weighting import RandomLossWeighting
from mtl_tutorial.balancing.scalarizer import StaticWeights, Sum
from mtl_tutorial.balancing.uncertainty_weighting import UncertaintyWeighting, uncertainty_weighted_loss
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit

REGRESSIONS = [Task(name, "regression") for name in ("first", "second", "third")]
BINARIES = [Task(name) for name in ("first", "second", "third")]


def weights_on(scalarizer, losses):
    """Return d objective / d losses, one row per repeat."""
    losses = torch.as_tensor(losses, dtype=torch.float64).requires_grad_()
    return torch.autograd.grad(scalarizer(losses).sum(), losses)[0]


# --- random --------------------------------------------------------------------------------------------------

def test_random_weights_are_positive_sum_to_one_and_are_drawn_anew_for_every_step_and_repeat():
    torch.manual_seed(0)
    drawn = torch.stack([weights_on(RandomLossWeighting(), torch.ones(5, 3)) for _ in range(400)])     # [400, 5, 3]
    assert (drawn > 0).all()
    torch.testing.assert_close(drawn.sum(-1), torch.ones(400, 5, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert len(drawn.reshape(-1, 3).unique(dim=0)) == 2000
    mean = drawn.reshape(-1, 3).mean(0)
    assert (mean - 1 / 3).abs().max() < 5 * drawn.std() / 2000**0.5
    ratio = (drawn[..., 0] / drawn[..., 1]).log()           # of a softmax of normals: their difference, variance 2
    assert abs(ratio.var() - 2) < 0.3


# --- fixed ---------------------------------------------------------------------------------------------------

def test_static_weights_multiply_the_losses():
    losses = torch.tensor([[1.0, 2.0, 4.0], [3.0, 5.0, 7.0]])
    assert StaticWeights([1.0, 0.5, 0.25])(losses).tolist() == [3.0, 7.25]
    assert StaticWeights([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]])(losses).tolist() == [1.0, 14.0]


def test_each_repeat_of_a_stack_trains_with_weights_of_its_own(mixed_table, mixed_tasks):
    table = mixed_table(dtype=torch.float64)
    grid = [[1.0, 0.0, 0.0], [0.5, 2.0, 0.25], [0.0, 0.0, 1.0]]

    def models():
        torch.manual_seed(0)
        return [SharedBottom(table.schema, mixed_tasks, widths=(8,)).double() for _ in grid]

    knobs = {"epochs": 1, "batch_size": 200, "lr": 0.01, "device": "cpu"}
    stacked = Stacked(models())
    fit(stacked, table.repeat(3), mixed_tasks, StaticWeights(grid), **knobs)
    for repeat, (model, weights) in enumerate(zip(models(), grid, strict=True)):
        fit(model, table, mixed_tasks, StaticWeights(weights), **knobs)
        for name, value in model.named_parameters():
            torch.testing.assert_close(stacked.weights[name.replace(".", "/")][repeat], value, rtol=1e-7, atol=1e-9)


# --- dynamic weight average ----------------------------------------------------------------------------------

def test_dwa_weights_are_a_softmax_of_the_ratios_times_the_number_of_tasks():
    weights = dwa_weights(torch.tensor([1.0, 1.0]), torch.tensor([2.0, 1.0]), temperature=2.0)
    expected = [2 * math.exp(r / 2) / (math.exp(0.25) + math.exp(0.5)) for r in (0.5, 1.0)]
    assert weights.tolist() == pytest.approx(expected)


def test_dwa_is_even_until_two_periods_have_passed_then_uses_their_means():
    dwa = DWA(BINARIES, period=2, temperature=1.0).double()
    history = [4, 1, 2], [2, 1, 2], [1, 1, 3], [2, 1, 1], [9, 9, 9], [9, 9, 9]
    seen = [weights_on(dwa, losses) for losses in history]
    assert all(weights.tolist() == [1.0] * 3 for weights in seen[:4])
    ratios = torch.tensor([1.5 / 3, 1 / 1, 2 / 2], dtype=torch.float64)
    expected = 3 * ratios.exp() / ratios.exp().sum()
    for weights in seen[4:]:
        torch.testing.assert_close(weights, expected, rtol=1e-12, atol=1e-12)
    assert expected[0] < 1 < expected[1] == expected[2]         # the task that halved its loss needs less help


def test_dwa_evens_out_with_temperature():
    spread = [weights_on(aged_dwa(temperature), torch.ones(3)).std() for temperature in (0.1, 1.0, 100.0)]
    assert spread[0] > 3 * spread[1] > 100 * spread[2] > 0


def aged_dwa(temperature):
    dwa = DWA(BINARIES, period=1, temperature=temperature).double()
    for losses in ([1.0, 1.0, 1.0], [0.5, 0.9, 1.0]):
        dwa(torch.tensor(losses, dtype=torch.float64))
    return dwa


# --- uncertainty ---------------------------------------------------------------------------------------------

def test_uncertainty_weighting_halves_the_loss_of_regressions_alone():
    losses, log_variances = torch.tensor([2.0, 2.0]), torch.tensor([math.log(4.0), math.log(4.0)])
    objective = uncertainty_weighted_loss(losses, log_variances, torch.tensor([True, False]))
    assert objective.item() == pytest.approx(0.5 * 2 / 4 + 2 / 4 + math.log(4.0))
    method = UncertaintyWeighting([Task("value", "regression"), Task("click"), Task("kind", "multiclass", 3)])
    assert method(torch.ones(3)).item() == 2.5


def descend(objective, start, losses, lr, steps):
    """Follow one task's uncertainty downhill by Adam; return the weights on its loss and the last objective."""
    parameter = torch.nn.Parameter(torch.tensor([start]))
    adam = torch.optim.Adam([parameter], lr=lr)
    seen = []
    for _ in range(steps):
        loss = torch.tensor([losses], requires_grad=True)
        value = objective(loss, parameter)
        adam.zero_grad()
        value.backward()
        seen.append(loss.grad.item())
        adam.step()
    return torch.tensor(seen), value.item()


def test_log_variance_never_turns_the_sign_of_a_weight_where_a_variance_would():
    """A task that is learned to a loss near zero, at a large learning rate: the trap."""
    regression = torch.tensor([False])
    by_log, objective = descend(lambda loss, s: uncertainty_weighted_loss(loss, s, regression), 0.0, 1e-4, 0.5, 300)
    assert by_log.min() > 0
    assert by_log.max() > 1000
    assert objective < 0                                # below zero, and no error
    by_variance, _ = descend(lambda loss, v: (loss / v + v.abs().log() / 2).sum(), 1.0, 1e-4, 0.5, 300)
    assert by_variance.min() < 0                        # the task would be unlearned


@pytest.mark.parametrize(("tasks", "factor"), [(REGRESSIONS, 0.5), (BINARIES, 1.0)])
def test_uncertainty_left_to_itself_weighs_every_task_by_half_its_inverse_loss(tasks, factor):
    losses = torch.tensor([0.01, 1.0, 30.0], dtype=torch.float64)
    method = UncertaintyWeighting(tasks).double()
    optimizer = torch.optim.LBFGS(method.parameters(), max_iter=200, tolerance_grad=1e-12, tolerance_change=0)

    def closure():
        optimizer.zero_grad()
        objective = method(losses)
        objective.backward()
        return objective

    optimizer.step(closure)
    torch.testing.assert_close(method.log_variances.detach(), (2 * factor * losses).log(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(weights_on(method, losses), 1 / (2 * losses), rtol=1e-5, atol=1e-6)


# --- FAMO ----------------------------------------------------------------------------------------------------

def test_famo_combines_gradients_with_weights_that_sum_to_one_and_go_with_the_inverse_loss():
    weights = weights_on(FAMO(BINARIES).double(), [1.0, 2.0, 4.0])
    torch.testing.assert_close(weights, torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64) / 7, rtol=1e-7, atol=0)
    above = weights_on(FAMO(BINARIES, lower_bounds=[0.0, 1.0, 0.0]).double(), [1.0, 2.0, 4.0])
    torch.testing.assert_close(above, torch.tensor([4.0, 4.0, 1.0], dtype=torch.float64) / 9, rtol=1e-7, atol=0)


def test_famo_shifts_weight_to_the_task_that_improved_least_by_one_step_of_adam():
    famo = FAMO(BINARIES, lr=0.1, decay=0.0).double()
    before, after = (torch.tensor(x, dtype=torch.float64) for x in ([1.0, 1.0, 2.0], [0.5, 0.9, 2.2]))
    famo(before)
    famo.after_step(after)
    fallen = (before / after).log()
    gradient = (fallen - fallen.mean()) / 3             # of softmax at even weights
    torch.testing.assert_close(famo.logits, -0.1 * gradient / gradient.abs(), rtol=1e-5, atol=1e-7)
    assert famo.logits[0] < 0 < famo.logits[2]


def test_famo_forgets_by_its_decay():
    kept = {}
    for decay in (0.0, 0.5):
        famo = FAMO(BINARIES, lr=0.1, decay=decay).double()
        famo.logits.copy_(torch.tensor([2.0, 0.0, -2.0]))
        losses = torch.ones(3, dtype=torch.float64)
        famo(losses)
        famo.after_step(losses)                         # nothing fell: only the decay acts
        kept[decay] = famo.logits.abs().max().item()
    assert kept[0.0] == 2.0
    assert kept[0.5] == pytest.approx(1.9)


# --- all -----------------------------------------------------------------------------------------------------

METHODS = {
    "Sum": lambda repeats: Sum(), "DWA": lambda repeats: DWA(REGRESSIONS, period=2, repeats=repeats),
    "FAMO": lambda repeats: FAMO(REGRESSIONS, repeats=repeats),
    "UncertaintyWeighting": lambda repeats: UncertaintyWeighting(REGRESSIONS, repeats=repeats),
}


@pytest.mark.parametrize("name", METHODS)
def test_each_repeat_has_a_state_of_its_own(name):
    """The weights of R repeats after ten steps are those of R methods that each saw one repeat's losses."""
    generator = torch.Generator().manual_seed(0)
    history = torch.rand(10, 4, 3, generator=generator, dtype=torch.float64) + 0.1      # [steps, R, K]

    def walk(method, losses):
        for step in losses:
            values = step.clone().requires_grad_()
            method.zero_grad()
            method(values).sum().backward()
            with torch.no_grad():
                for parameter in method.parameters():
                    parameter -= 0.1 * parameter.grad
            method.after_step(0.9 * step**2)
        return values.grad

    together = walk(METHODS[name](4).double(), history)
    alone = torch.stack([walk(METHODS[name](None).double(), history[:, repeat]) for repeat in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)
    assert name == "Sum" or (together - together[0]).abs().max() > 1e-3


def test_settings_show_so_that_a_checkpoint_is_not_continued_with_others():
    for first, second in ((DWA(BINARIES, 2), DWA(BINARIES, 3)), (FAMO(BINARIES), FAMO(BINARIES, decay=0.1)),
                          (StaticWeights([1, 2]), StaticWeights([2, 1])),
                          (FAMO(BINARIES), FAMO(BINARIES, lower_bounds=[-1, 0, 0]))):
        assert repr(first) != repr(second)
