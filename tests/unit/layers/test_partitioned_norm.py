import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from mtl_tutorial.layers.partitioned_norm import PartitionedNorm, moments_by_scenario, partitioned_normalise


def rows(count=40, width=3, seed=1):
    """Rows far from mean 0 and variance 1, differently in every column."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, width, generator=generator, dtype=torch.float64)
    return (x * torch.arange(1, width + 1) + torch.arange(width) * 10).requires_grad_()


def layer(scenarios, width=3, seed=0, **knobs):
    """A layer whose scales and shifts are all off their start."""
    norm = PartitionedNorm(scenarios, width, **knobs).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return norm


def batch_norm_of(norm, s, width=3):
    """The layer of torch that scenario s would have if it were alone."""
    plain = nn.BatchNorm1d(width, eps=norm.eps, momentum=norm.momentum).double()
    with torch.no_grad():
        plain.weight.copy_(norm.scale * norm.own_scale[s])
        plain.bias.copy_(norm.shift + norm.own_shift[s])
    return plain


SCENARIO = torch.arange(40) % 3
SKEWED = torch.where(torch.arange(40) < 30, 0, torch.where(torch.arange(40) < 38, 1, 2))


# --- against torch's batch normalisation ---------------------------------------------------------------------

@pytest.mark.parametrize("knobs", [{}, {"eps": 1e-3, "momentum": 0.3}])
def test_with_one_scenario_it_is_batch_normalisation(knobs):
    norm, scenario = layer(1, **knobs), torch.zeros(40, dtype=torch.long)
    plain = batch_norm_of(norm, 0)
    for step in range(4):
        x = rows(seed=step)
        ours, theirs = norm(x, scenario), plain(x)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
        weights = rows(seed=10).detach()
        first, scale, shift = torch.autograd.grad((ours * weights).sum(), (x, norm.own_scale, norm.own_shift))
        second, weight, bias = torch.autograd.grad((theirs * weights).sum(), (x, plain.weight, plain.bias))
        torch.testing.assert_close(first, second, rtol=0, atol=1e-10)
        torch.testing.assert_close(scale[0], weight * norm.scale, rtol=0, atol=1e-10)
        torch.testing.assert_close(shift[0], bias, rtol=0, atol=1e-10)
        torch.testing.assert_close(norm.running_mean[0], plain.running_mean, rtol=0, atol=1e-10)
        torch.testing.assert_close(norm.running_variance[0], plain.running_var, rtol=0, atol=1e-10)
    norm.eval()
    plain.eval()
    torch.testing.assert_close(norm(x, scenario), plain(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("scenario", [SCENARIO, SKEWED])
def test_every_scenario_is_normalised_as_if_it_were_alone(scenario):
    norm = layer(3)
    alone = [batch_norm_of(norm, s) for s in range(3)]
    for step in range(3):
        x = rows(seed=step)
        out = norm(x, scenario)
        for s in range(3):
            torch.testing.assert_close(out[scenario == s], alone[s](x[scenario == s]), rtol=0, atol=1e-10)
    norm.eval()
    out = norm(x, scenario)
    for s in range(3):
        torch.testing.assert_close(out[scenario == s], alone[s].eval()(x[scenario == s]), rtol=0, atol=1e-10)
    assert norm.rows_seen.tolist() == (3 * scenario.bincount()).tolist()


# --- the pure function ---------------------------------------------------------------------------------------

def test_each_scenario_has_mean_zero_and_variance_one_afterwards():
    out = partitioned_normalise(rows() + 100 * SCENARIO.unsqueeze(1), SCENARIO, 3, eps=0.0)
    _, mean, variance = moments_by_scenario(out, SCENARIO, 3)
    torch.testing.assert_close(mean, torch.zeros(3, 3, dtype=torch.float64), rtol=0, atol=1e-10)
    torch.testing.assert_close(variance, torch.ones(3, 3, dtype=torch.float64), rtol=0, atol=1e-10)


def test_moments_are_those_of_a_loop_over_scenarios_and_zero_without_rows():
    x = rows()
    scenario = SKEWED
    found = moments_by_scenario(x, scenario, 5)
    for s in range(3):
        own = x[scenario == s]
        for moment, expected in zip(found, (torch.tensor(len(own)), own.mean(0), own.var(0, correction=0)),
                                    strict=True):
            torch.testing.assert_close(moment[s], expected, rtol=0, atol=1e-10)
    assert all(moment[3:].abs().sum() == 0 for moment in found)


# --- scenarios with little or nothing ------------------------------------------------------------------------

def trained(scenarios=4):
    """A layer that has seen scenarios 0 and 1, three batches of them, and none of the others."""
    norm = layer(scenarios)
    for step in range(3):
        norm(rows(seed=step), (SCENARIO > 0).long())
    return norm


@pytest.mark.parametrize("count", [0, 1])
def test_a_scenario_with_fewer_than_two_rows_goes_by_its_running_statistics_and_leaves_them(count):
    norm = trained()
    before = {name: value.clone() for name, value in norm.named_buffers()}
    scenario = torch.zeros(40, dtype=torch.long)
    scenario[:count] = 1
    x = rows(seed=7)
    out = norm(x, scenario)
    expected = batch_norm_of(norm, 1).eval()
    expected.running_mean, expected.running_var = before["running_mean"][1], before["running_variance"][1]
    torch.testing.assert_close(out[:count], expected(x[:count]), rtol=0, atol=1e-10)
    for name, value in norm.named_buffers():
        assert torch.equal(value[1], before[name][1])
        assert not torch.equal(value[0], before[name][0])
    out.sum().backward()
    assert x.grad.isfinite().all()


def test_a_scenario_never_seen_goes_by_all_seen_rows_together():
    norm = trained().eval()
    share = norm.rows_seen[:2].double() / norm.rows_seen.sum()
    mean = (share.unsqueeze(1) * norm.running_mean[:2]).sum(0)
    within = (share.unsqueeze(1) * norm.running_variance[:2]).sum(0)
    between = (share.unsqueeze(1) * (norm.running_mean[:2] - mean) ** 2).sum(0)
    x = rows(seed=8)
    expected = (x - mean) / (within + between + norm.eps).sqrt()
    expected = expected * norm.scale * norm.own_scale[3] + norm.shift + norm.own_shift[3]
    torch.testing.assert_close(norm(x, torch.full((40,), 3)), expected, rtol=0, atol=1e-10)
    assert norm.rows_seen.tolist() == [3 * 14, 3 * 26, 0, 0]


def test_pooled_statistics_are_those_of_the_rows_as_one_scenario():
    """With momentum 1 the running statistics are those of the last batch, here of many rows."""
    norm, x = layer(3, momentum=1.0), rows(4000)
    scenario = torch.arange(4000) % 4 // 3                                              # scenarios 0 and 1
    with torch.no_grad():
        x += 5 * scenario.unsqueeze(1)
    norm(x, scenario)
    mean, variance = norm.running_statistics()
    torch.testing.assert_close(mean[2], x.mean(0), rtol=0, atol=1e-10)
    torch.testing.assert_close(variance[2], x.var(0), rtol=2e-3, atol=0)


def test_a_single_row_of_a_scenario_never_seen_is_normalised_in_training_as_in_evaluation():
    norm, x = trained(), rows(1)
    out = norm(x, torch.tensor([3]))
    torch.testing.assert_close(out, norm.eval()(x, torch.tensor([3])), rtol=0, atol=0)


def test_before_any_training_rows_are_scaled_and_shifted_alone():
    norm, x = PartitionedNorm(3, 3).double().eval(), rows()
    torch.testing.assert_close(norm(x, SCENARIO), x / (1 + norm.eps) ** 0.5, rtol=0, atol=1e-12)


def test_an_empty_batch_changes_nothing():
    norm = trained()
    before = {name: value.clone() for name, value in norm.named_buffers()}
    out = norm(rows(0), SCENARIO[:0])
    assert out.shape == (0, 3)
    out.sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in norm.named_buffers())
    assert all(parameter.grad.abs().sum() == 0 for parameter in norm.parameters())


# --- repeats and precision -----------------------------------------------------------------------------------

def test_under_vmap_every_repeat_keeps_its_own_running_statistics():
    layers = [layer(3, seed=seed) for seed in range(3)]
    alone = [layer(3, seed=seed) for seed in range(3)]
    parameters, buffers = stack_module_state(layers)

    def one(parameters, buffers, x, scenario):
        return functional_call(layers[0], (parameters, buffers), (x, scenario))

    scenarios = torch.stack([SCENARIO, SKEWED, torch.zeros_like(SCENARIO)])
    scenarios[2, 0] = 2                                                                 # a single row
    for step in range(3):
        x = torch.stack([rows(seed=10 * step + r) for r in range(3)])
        out = vmap(one)(parameters, buffers, x, scenarios)
        for r, norm in enumerate(alone):
            torch.testing.assert_close(out[r], norm(x[r], scenarios[r]), rtol=0, atol=1e-10)
    for name, value in buffers.items():
        for r, norm in enumerate(alone):
            torch.testing.assert_close(value[r], norm.get_buffer(name), rtol=0, atol=1e-10)
    assert buffers["rows_seen"].tolist() == [[42, 39, 39], [90, 24, 6], [117, 0, 0]]


def test_autocast_leaves_statistics_in_float32():
    x = rows().detach().float()
    exact, found = PartitionedNorm(3, 3), PartitionedNorm(3, 3)
    out = exact(x, SCENARIO)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(found(x, SCENARIO), out)
        assert found(x.bfloat16(), SCENARIO).dtype == torch.float32
    assert exact.running_mean.dtype == found.running_mean.dtype == torch.float32
