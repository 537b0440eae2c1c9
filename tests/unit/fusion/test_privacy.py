import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

from mtl_tutorial.fusion.dp_fed_avg import DPFedAvg, clipped
from mtl_tutorial.fusion.fed_avg import FedAvg
from mtl_tutorial.fusion.privacy import delta_of_epsilon, epsilon_of_delta, gdp_mu, noise_for


def integrated_delta(epsilon, noise):
    """Integrate max(0, p − e^ε q) of N(1, σ²) and N(0, σ²): the definition of δ, by quadrature."""
    def excess(x):
        return max(0.0, norm.pdf(x, 1, noise) - math.exp(epsilon) * norm.pdf(x, 0, noise))
    start = epsilon * noise**2 + 0.5                                # p > e^ε q from here on
    return quad(excess, start, start + 40 * noise, limit=500, epsabs=1e-14, epsrel=1e-10)[0]


@pytest.mark.parametrize("noise", [0.5, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0, 4.0])
def test_delta_of_one_release_is_the_integral_that_defines_it(noise, epsilon):
    expected = integrated_delta(epsilon, noise)
    assert delta_of_epsilon(epsilon, gdp_mu(noise)) == pytest.approx(expected, rel=1e-7, abs=1e-12)


def composed_delta(epsilon, noise, rounds, step=0.002):
    """Add up the privacy losses L of all rounds on a grid, by convolution, and take E[(1 − e^(ε − L))⁺]."""
    mu = 1 / noise
    loss = np.arange(-8 * mu + mu**2 / 2, 8 * mu + mu**2 / 2, step)     # of one round, with the client there
    one = norm.pdf(loss, mu**2 / 2, mu) * step
    density, start = one, loss[0]
    for _ in range(rounds - 1):
        density, start = np.convolve(density, one), start + loss[0]
    total = start + step * np.arange(len(density))
    return (density * np.maximum(0.0, -np.expm1(epsilon - total))).sum()


@pytest.mark.parametrize(("noise", "rounds", "epsilon"), [
    (2.0, 4, 1.0), (3.0, 6, 0.5), (5.0, 3, 0.2), (1.5, 5, 3.0)])
def test_delta_of_several_rounds_is_that_of_the_summed_losses(noise, rounds, epsilon):
    expected = composed_delta(epsilon, noise, rounds)
    assert delta_of_epsilon(epsilon, gdp_mu(noise, rounds)) == pytest.approx(expected, rel=1e-4)


def test_known_values():
    """At ε = 0, δ is a total variation; ε = 1, δ = 1e-5 needs 23 % less noise than the classical bound."""
    assert delta_of_epsilon(0.0, 1.0) == pytest.approx(2 * norm.cdf(0.5) - 1, rel=1e-12)
    classical = math.sqrt(2 * math.log(1.25 / 1e-5))
    assert noise_for(1.0, 1e-5) == pytest.approx(3.7306, abs=1e-4)
    assert noise_for(1.0, 1e-5) / classical == pytest.approx(0.77, abs=0.005)


def test_rounds_cost_as_much_as_less_noise_in_one():
    assert gdp_mu(noise=6.0, rounds=9) == pytest.approx(gdp_mu(noise=2.0))
    assert noise_for(2.0, 1e-5, rounds=25) == pytest.approx(5 * noise_for(2.0, 1e-5))


@pytest.mark.parametrize("mu", [0.01, 0.3, 1.0, 5.0, 40.0])
@pytest.mark.parametrize("delta", [1e-9, 1e-5, 1e-3])
def test_epsilon_and_delta_are_each_others_inverse(mu, delta):
    epsilon = epsilon_of_delta(delta, mu)
    if epsilon > 0:
        assert delta_of_epsilon(epsilon, mu) == pytest.approx(delta, rel=1e-6)
        assert noise_for(epsilon, delta) == pytest.approx(1 / mu, rel=1e-6)
    else:
        assert delta_of_epsilon(0.0, mu) <= delta


def test_little_noise_is_little_privacy_and_none_is_none():
    assert epsilon_of_delta(1e-5, gdp_mu(0.5, 20)) > epsilon_of_delta(1e-5, gdp_mu(5.0, 20)) > 0
    assert epsilon_of_delta(1e-5, gdp_mu(0.0, 20)) == math.inf
    assert delta_of_epsilon(3.0, math.inf) == 1.0
    assert epsilon_of_delta(0.5, 0.1) == 0.0


def test_tiny_deltas_keep_their_digits():
    """The two terms agree in their first digits there, and their difference must not be rounding."""
    assert delta_of_epsilon(1.0, 0.1) == pytest.approx(integrated_delta_small(1.0, 0.1), rel=1e-6)
    assert delta_of_epsilon(1e-9, 1e-9) == pytest.approx(integrated_delta_small(1e-9, 1e-9), rel=1e-9)


def integrated_delta_small(epsilon, mu):
    """Integrate the tail in the privacy loss itself, scaled by its largest value, so that quadrature sees it."""
    first = norm.logpdf(epsilon, mu**2 / 2, mu)
    scaled = quad(lambda loss: math.exp(norm.logpdf(loss, mu**2 / 2, mu) - first) * -math.expm1(epsilon - loss),
                  epsilon, epsilon + 5 * mu, epsabs=0, epsrel=1e-10)[0]
    return math.exp(first) * scaled


@pytest.mark.parametrize(("call", "trouble"), [
    (lambda: gdp_mu(-1.0), "noise=-1"), (lambda: gdp_mu(1.0, 0), "rounds=0"),
    (lambda: delta_of_epsilon(-0.1, 1.0), "epsilon=-0.1"), (lambda: delta_of_epsilon(1.0, 0.0), "mu=0.0"),
    (lambda: epsilon_of_delta(0.0, 1.0), "delta=0.0"), (lambda: epsilon_of_delta(1.0, 1.0), "delta=1.0"),
    (lambda: noise_for(1.0, 2.0), "delta=2.0"), (lambda: noise_for(1.0, 1e-5, 0), "rounds=0"),
])
def test_accounts_of_nothing_are_refused(call, trouble):
    with pytest.raises(ValueError, match=trouble):
        call()


def norms(updates):
    return sum(value.flatten(2).square().sum(-1) for value in updates.values()).sqrt()


def test_clipping_shortens_long_updates_and_leaves_short_ones():
    generator = torch.Generator().manual_seed(0)
    updates = {"w": torch.randn(2, 3, 4, 5, generator=generator), "b": torch.randn(2, 3, 4, generator=generator)}
    updates = {name: value * torch.tensor([0.01, 1.0, 100.0]).view(1, 3, *[1] * (value.dim() - 2))
               for name, value in updates.items()}
    found = clipped(updates, clip=1.0)
    assert torch.equal(found["w"][:, 0], updates["w"][:, 0])
    torch.testing.assert_close(norms(found)[:, 1:], torch.ones(2, 2))
    torch.testing.assert_close(found["b"][:, 2] * norms(updates)[:, 2:], updates["b"][:, 2])


def test_clipping_refuses_what_it_cannot_shorten():
    with pytest.raises(ValueError, match="clip=0"):
        clipped({"w": torch.ones(1, 1, 2)}, clip=0.0)
    with pytest.raises(ValueError, match="not finite"):
        clipped({"w": torch.full((1, 1, 2), float("inf"))}, clip=1.0)


def changed(fed, clients, click, **fit):
    start = {name: value.detach().clone() for name, value in fed.model.named_weights.items()}
    fed.fit(clients, click, **fit)
    return {name: value - start[name] for name, value in fed.model.named_weights.items()}


def test_without_noise_a_wide_clip_gives_the_plain_mean_of_the_clients(federation, common_model, click):
    groups, clients = federation
    equal = [[table.take(slice(0, 7)) for table in group] for group in groups]
    same_rows = type(clients).of(equal)
    private = changed(DPFedAvg(common_model(groups[0][0], 2), clip=1e6, noise=0.0, lr=0.1, local_steps=3),
                      same_rows, click, rounds=2)
    plain = changed(FedAvg(common_model(groups[0][0], 2), lr=0.1, local_steps=3), same_rows, click, rounds=2)
    for name, value in plain.items():
        torch.testing.assert_close(private[name], value, rtol=0, atol=1e-12)


def test_one_client_more_moves_the_sum_by_the_clip_at_most(federation, common_model, click):
    groups, clients = federation
    clip = 0.02
    found = changed(DPFedAvg(common_model(groups[0][0], 2), clip=clip, noise=0.0, lr=0.5, local_steps=10),
                    clients, click, rounds=1)
    length = sum(value.flatten(1).square().sum(-1) for value in found.values()).sqrt()
    assert (length <= clip * (1 + 1e-9)).all()
    assert (length > 0).all()


def test_noise_has_the_announced_spread_and_no_bias(federation, common_model, click):
    groups, clients = federation
    quiet, loud = (changed(DPFedAvg(common_model(groups[0][0], 2), clip=0.5, noise=noise, lr=0.1),
                           clients, click, rounds=1) for noise in (0.0, 4.0))
    noise = torch.cat([(loud[name] - quiet[name]).flatten() for name in loud])
    expected = 4.0 * 0.5 / 3
    assert noise.std().item() == pytest.approx(expected, rel=4.5 / math.sqrt(2 * len(noise)))
    assert abs(noise.mean().item()) < 4.5 * expected / math.sqrt(len(noise))


def test_each_group_may_have_noise_of_its_own(federation, common_model, click):
    groups, clients = federation
    quiet, mixed = (changed(DPFedAvg(common_model(groups[0][0], 2), clip=0.5, noise=noise, lr=0.1),
                            clients, click, rounds=1) for noise in (0.0, [0.0, 2.0]))
    for name in quiet:
        assert torch.equal(quiet[name][0], mixed[name][0])
        assert not torch.equal(quiet[name][1], mixed[name][1])


def test_groups_draw_their_noise_apart(federation, common_model, click):
    groups, clients = federation
    quiet, loud = (changed(DPFedAvg(common_model(groups[0][0], 2), clip=0.5, noise=noise, lr=0.1),
                           clients, click, rounds=1) for noise in (0.0, 4.0))
    first, second = (torch.cat([(loud[name][g] - quiet[name][g]).flatten() for name in loud]) for g in (0, 1))
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1].item()) < 4.5 / math.sqrt(len(first))


@pytest.mark.parametrize(("settings", "trouble"), [
    ({"clip": 0.0, "noise": 1.0}, "clip=0"), ({"clip": 1.0, "noise": -1.0}, "noise=-1"),
    ({"clip": 1.0, "noise": [1.0, float("nan")]}, "must not be negative"),
    ({"clip": 1.0, "noise": 1.0, "per_round": 2}, "full participation"),
])
def test_private_settings_out_of_range_are_refused(federation, common_model, settings, trouble):
    groups, _ = federation
    with pytest.raises(ValueError, match=trouble):
        DPFedAvg(common_model(groups[0][0], 2), lr=0.1, **settings)
