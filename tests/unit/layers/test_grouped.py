import pytest
import torch
from torch.func import vmap

from mtl_tutorial.data.table import Inputs
from mtl_tutorial.layers.grouped import group_rows, grouped_bank_linear, grouped_linear
from mtl_tutorial.layers.grouped_bank import GroupedBank, GroupedTowers
from mtl_tutorial.tasks import Task

SCENARIO = torch.tensor([3, 0, 0, 3, 1, 0, 3, 3, 1])                # of four; nobody is in 2
COUNTS = torch.tensor([3, 2, 0, 4])
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def normal(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_()


def by_hand(x, weight, bias, scenario):
    """Every row by its own group's weights."""
    return torch.stack([row @ weight[s] + bias[s] for row, s in zip(x, scenario.tolist(), strict=True)])


def unsorted(x, weight, bias, scenario):
    """The grouped product of rows in any order."""
    groups = group_rows(scenario, len(weight))
    return grouped_linear(x[groups.order], weight, bias, groups.counts)[groups.inverse]


# --- order ---------------------------------------------------------------------------------------------------

def test_rows_are_brought_together_by_scenario_and_keep_their_order_within():
    groups = group_rows(SCENARIO, 4)
    assert groups.order.tolist() == [1, 2, 5, 4, 8, 0, 3, 6, 7]
    assert groups.counts.tolist() == COUNTS.tolist()


def test_rows_of_a_scenario_keep_their_order_in_a_large_batch_too():
    scenario = torch.randint(4, (5_000,), generator=torch.Generator().manual_seed(0))
    order = group_rows(scenario, 4).order
    for rows in order.split(scenario.bincount().tolist()):
        assert (rows.diff() > 0).all()


def test_unsort_puts_every_row_back():
    groups = group_rows(SCENARIO, 4)
    inputs = Inputs(torch.arange(18).reshape(9, 2), torch.arange(9.0).unsqueeze(1), SCENARIO)
    rows = groups.sort(inputs)
    assert rows.scenario.tolist() == sorted(SCENARIO.tolist())
    assert rows.categorical[0].tolist() == [2, 3]                   # the first row of scenario 0 was row 1
    back = groups.unsort({"number": rows.numeric[:, 0], "ids": rows.categorical})
    assert torch.equal(back["number"], torch.arange(9.0))
    assert torch.equal(back["ids"], inputs.categorical)


@pytest.mark.parametrize("foreign", [4, -1])
def test_a_scenario_that_the_model_does_not_have_is_named(foreign):
    with pytest.raises(IndexError, match=f"scenario {foreign} is outside 0 … 3"):
        group_rows(torch.tensor([0, foreign, 1]), 4)
    with pytest.raises(IndexError, match=f"scenario {foreign} is outside 0 … 3"):
        vmap(lambda scenario: group_rows(scenario, 4).order)(torch.tensor([[0, 1, 1], [0, 1, foreign]]))


def test_counts_that_do_not_fit_the_batch_are_refused():
    with pytest.raises(ValueError, match="the groups hold 9 rows, the batch 8: is a scenario outside 0 … 3"):
        grouped_linear(normal(8, 3), normal(4, 3, 2), normal(4, 2), COUNTS)


# --- the product ---------------------------------------------------------------------------------------------

def test_every_row_meets_its_own_groups_weights():
    x, weight, bias = normal(9, 3), normal(4, 3, 2, seed=2), normal(4, 2, seed=3)
    ours, plain = unsorted(x, weight, bias, SCENARIO), by_hand(x, weight, bias, SCENARIO)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)
    weights = normal(9, 2, seed=4).detach()
    for one, other in zip(*(torch.autograd.grad((out * weights).sum(), (x, weight, bias)) for out in (ours, plain)),
                          strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_first_and_second_derivatives_are_right_with_a_group_empty():
    sources = (normal(9, 3), normal(4, 3, 2, seed=2), normal(4, 2, seed=3))
    assert torch.autograd.gradcheck(lambda *s: grouped_linear(*s, COUNTS), sources)
    assert torch.autograd.gradgradcheck(lambda *s: grouped_linear(*s, COUNTS), sources)
    assert torch.autograd.gradcheck(lambda x, w: grouped_linear(x, w, None, COUNTS), sources[:2])


def test_an_empty_group_has_gradient_zero():
    weight, bias = normal(4, 3, 2), normal(4, 2)
    grouped_linear(normal(9, 3), weight, bias, COUNTS).sum().backward()
    assert weight.grad.abs().sum((1, 2)).gt(0).tolist() == [True, True, False, True]
    assert bias.grad[:, 0].tolist() == [3, 2, 0, 4]
    assert weight.grad.isfinite().all()


def test_no_row_passes_through_weights_that_are_not_its_own():
    """What is multiplied by zero and added would still be NaN."""
    x, weight, bias = normal(9, 3), normal(4, 3, 2).detach(), normal(4, 2).detach()
    weight[1:], bias[1:] = torch.nan, torch.nan
    out = grouped_linear(x, weight, bias, COUNTS)
    assert out[:3].isfinite().all()
    assert out[3:].isnan().all()
    out[:3].sum().backward()
    assert x.grad[:3].isfinite().all()


def test_an_empty_batch_gives_nothing_and_gradient_zero():
    x, weight, bias = normal(0, 3), normal(4, 3, 2), normal(4, 2)
    out = unsorted(x, weight, bias, SCENARIO[:0])
    assert out.shape == (0, 2)
    out.sum().backward()
    assert weight.grad.abs().sum() == bias.grad.abs().sum() == 0


# --- repeats -------------------------------------------------------------------------------------------------

def stacked_case():
    """Three repeats with rows of their own; the last leaves two groups empty."""
    scenario = torch.stack([SCENARIO, SCENARIO.flip(0) % 3, torch.full((9,), 2)])
    scenario[2, 4] = 0
    return normal(3, 9, 3), normal(3, 4, 3, 2, seed=2), normal(3, 4, 2, seed=3), scenario


@pytest.mark.parametrize("shared", ["nothing", "rows", "weights"])
def test_vmap_gives_what_the_repeats_give_one_by_one(shared):
    x, weight, bias, scenario = stacked_case()
    if shared == "rows":
        x, scenario = x[0], scenario[0]
        dims = (None, 0, 0, None)
    elif shared == "weights":
        weight, bias = weight[0], bias[0]
        dims = (0, None, None, 0)
    else:
        dims = (0, 0, 0, 0)
    together = vmap(unsorted, dims)(x, weight, bias, scenario)
    apart = torch.stack([unsorted(*(a if dim is None else a[r] for a, dim in zip((x, weight, bias, scenario), dims,
                                                                                strict=True))) for r in range(3)])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-12)
    weights = normal(3, 9, 2, seed=5).detach()
    for one, other in zip(*(torch.autograd.grad((out * weights).sum(), (x, weight, bias))
                            for out in (together, apart)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_vmap_within_vmap():
    x, weight, bias, scenario = stacked_case()
    twice = [torch.stack([a, a.flip(0)]) for a in (x, weight, bias, scenario)]
    found = vmap(vmap(unsorted))(*twice)
    for outer in range(2):
        for r in range(3):
            alone = unsorted(*(a[outer, r] for a in twice))
            torch.testing.assert_close(found[outer, r], alone, rtol=0, atol=1e-12)


def test_a_jacobian_taken_by_vmap_equals_one_row_after_the_other():
    x, weight, bias, scenario = stacked_case()
    out = vmap(unsorted)(x, weight, bias, scenario)
    directions = normal(5, 3, 9, 2, seed=6).detach()

    def pull_back(direction):
        return torch.autograd.grad(out, (x, weight, bias), direction, retain_graph=True)

    for together, *apart in zip(torch.vmap(pull_back)(directions), *map(pull_back, directions), strict=True):
        torch.testing.assert_close(together, torch.stack(apart), rtol=0, atol=1e-12)


# --- precision and devices -----------------------------------------------------------------------------------

def test_autocast_multiplies_in_bfloat16_and_leaves_gradients_in_float32():
    x, weight, bias = (normal(*shape, dtype=torch.float32) for shape in ((9, 3), (4, 3, 2), (4, 2)))
    exact = grouped_linear(x, weight, bias, COUNTS)
    with torch.autocast("cpu", torch.bfloat16):
        out = grouped_linear(x, weight, bias, COUNTS)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), exact, rtol=0.02, atol=0.05)
    out.float().sum().backward()
    assert {source.grad.dtype for source in (x, weight, bias)} == {torch.float32}
    assert bias.grad[:, 0].tolist() == [3, 2, 0, 4]


@gpu
def test_a_gpu_gives_what_the_cpu_gives():
    x, weight, bias = normal(9, 3), normal(4, 3, 2), normal(4, 2)
    there = unsorted(*(source.cuda() for source in (x, weight, bias, SCENARIO)))
    torch.testing.assert_close(there.cpu(), unsorted(x, weight, bias, SCENARIO))


# --- banks ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("shared", [True, False])
def test_a_bank_of_linear_layers_per_group_equals_a_loop_over_rows_and_members(shared):
    x = normal(9, 3) if shared else normal(9, 2, 3)
    weight, bias = normal(4, 2, 3, 5, seed=2), normal(4, 2, 5, seed=3)
    rows = SCENARIO.sort().values.tolist()
    plain = torch.stack([torch.stack([(x[b] if shared else x[b, t]) @ weight[s, t] + bias[s, t] for t in range(2)])
                         for b, s in enumerate(rows)])
    ours = grouped_bank_linear(x, weight, bias, COUNTS)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)
    weights = normal(9, 2, 5, seed=4).detach()
    for one, other in zip(*(torch.autograd.grad((out * weights).sum(), (x, weight, bias)) for out in (ours, plain)),
                          strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_a_bank_without_layers_passes_its_input_on():
    x = normal(9, 3)
    bank = GroupedBank(4, 2, 3, ())
    assert bank.width == 3
    assert torch.equal(bank(x, COUNTS), torch.stack([x, x], 1))
    assert torch.equal(bank(x.unsqueeze(1), COUNTS), torch.stack([x, x], 1))


def test_members_of_every_group_start_as_torch_linear_layers_do():
    torch.manual_seed(0)
    layer, = GroupedBank(5, 10, 64, (32,)).layers
    bound = 1 / 64**0.5
    for parameter in (layer.weight, layer.bias):
        assert parameter.abs().max() <= bound
        assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_a_task_reads_its_own_tower_alone():
    tasks = [Task("click"), Task("segment", "multiclass", 3)]
    torch.manual_seed(0)
    towers = GroupedTowers(4, tasks, 3, (6,)).double()
    outputs = towers(normal(9, 3), COUNTS)
    assert outputs["segment"].shape == (9, 3)
    of_click, = torch.autograd.grad(outputs["click"].sum(), towers.hidden.layers[0].weight, retain_graph=True)
    of_segment, = torch.autograd.grad(outputs["segment"].square().sum(), towers.hidden.layers[0].weight)
    assert of_click.abs().sum((0, 2, 3)).gt(0).tolist() == [True, False]
    assert of_segment.abs().sum((0, 2, 3)).gt(0).tolist() == [False, True]
