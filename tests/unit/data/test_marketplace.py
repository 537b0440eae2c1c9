import math

import pytest
import torch

from mtl_tutorial.data.marketplace import SCENARIOS, TASKS, Shop, simulate
from mtl_tutorial.data.marketplace.behaviour import BASE, SPEND_NOISE, draw_weights, mean_over_intent, probabilities
from mtl_tutorial.evaluation import auc

ROWS = 120_000
DECILES = 10
SIGMAS = 4.5            # of sampling error: a false alarm in about 150,000 comparisons


@pytest.fixture(scope="module")
def shop():
    return simulate(ROWS)


@pytest.fixture(scope="module")
def shop_without_intent():
    return simulate(ROWS, noise=0.0, seed=3)


def assert_calibrated(labels, probability):
    """In every tenth of the rows, ordered by probability, as many positives as announced, within chance."""
    labels, probability = labels.double(), probability.double()
    for rows in probability.argsort().tensor_split(DECILES):
        chance = probability[rows]
        error = (labels[rows] - chance).sum() / (chance * (1 - chance)).sum().sqrt()
        assert abs(error.item()) < SIGMAS


def columns_of(table):
    return dict(table.columns())


def test_same_seed_draws_the_same_shop():
    first, again = columns_of(simulate(500, seed=7)), columns_of(simulate(500, seed=7))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_another_seed_draws_another_shop_and_other_rows():
    first, other = simulate(500, seed=7), simulate(500, seed=8)
    assert not torch.equal(first.categorical, other.categorical)
    assert not torch.equal(Shop.open(seed=7).users.taste, Shop.open(seed=8).users.taste)


def test_impressions_of_one_shop_differ_by_their_own_seed():
    shop = Shop.open(seed=7)
    assert torch.equal(shop.impressions(300, seed=7).categorical, simulate(300, seed=7).categorical)
    assert not torch.equal(shop.impressions(300, seed=1).categorical, shop.impressions(300, seed=2).categorical)


@pytest.mark.parametrize("dial", [{"task_correlation": -0.9}, {"scenario_shift": 0.9}, {"imbalance": 50.0},
                                  {"noise": 0.1}])
def test_dials_leave_users_and_items_as_they_are(dial):
    shop, turned = Shop.open(seed=7), Shop.open(seed=7, **dial)
    for side in ("users", "items"):
        for name, column in vars(getattr(shop, side)).items():
            assert torch.equal(column, getattr(getattr(turned, side), name)), name


def test_global_random_state_is_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    simulate(100)
    assert torch.equal(before, torch.get_rng_state())


def test_table_is_valid_and_holds_every_task(shop):
    shop.validate()
    assert set(shop.targets) == set(TASKS)
    assert torch.equal(shop.groups, shop.ids("user"))
    assert torch.equal(shop.scenario, shop.ids("scenario"))
    assert all(column.isfinite().all() for _, column in shop.columns())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_base_rates_are_those_of_a_shop(seed):
    table = simulate(50_000, seed=seed)
    rate = {name: table.targets[name].mean().item() for name in ("click", "cart", "purchase")}
    assert 0.1 < rate["click"] < 0.4
    assert 0.3 < rate["cart"] / rate["click"] < 0.75
    assert 0.01 < rate["purchase"] < 0.2
    counts = table.targets["next_behaviour"].bincount(minlength=3) / len(table)
    assert counts.argmax() == 0
    assert counts.min() > 0.08


def test_nobody_buys_what_was_not_carted_nor_carts_what_was_not_clicked(shop):
    click, cart, purchase = (shop.targets[name] for name in ("click", "cart", "purchase"))
    assert (cart <= click).all()
    assert (purchase <= cart).all()
    for kind in ("oracle", "bayes"):
        click, cart, purchase = (shop.truth[f"{kind}.{name}"] for name in ("click", "cart", "purchase"))
        assert (purchase < cart).all()
        assert (cart < click).all()


@pytest.mark.parametrize("truth", ["oracle", "bayes"])
@pytest.mark.parametrize("task", ["click", "cart", "purchase"])
def test_truth_is_calibrated(shop, truth, task):
    assert_calibrated(shop.targets[task], shop.truth[f"{truth}.{task}"])


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_bayes_is_calibrated_at_both_ends_of_the_noise_dial(noise):
    table = simulate(60_000, noise=noise, seed=5)
    for task in ("click", "cart", "purchase"):
        assert_calibrated(table.targets[task], table.truth[f"bayes.{task}"])


@pytest.mark.parametrize("truth", ["oracle", "bayes"])
@pytest.mark.parametrize("behaviour", range(3))
def test_truth_of_the_next_behaviour_is_calibrated_and_sums_to_one(shop, truth, behaviour):
    chances = shop.truth[f"{truth}.next_behaviour"]
    torch.testing.assert_close(chances.sum(1), torch.ones(ROWS))
    assert_calibrated(shop.targets["next_behaviour"] == behaviour, chances[:, behaviour])


@pytest.mark.parametrize("task", ["click", "cart", "purchase"])
def test_oracle_ranks_at_least_as_well_as_bayes(shop, task):
    labels = shop.targets[task]
    assert auc(labels, shop.truth[f"oracle.{task}"]) > auc(labels, shop.truth[f"bayes.{task}"]) + 0.01


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0, 1.7, 2.4, 3.0])
def test_average_over_intent_equals_a_fine_sum(noise):
    logits = {name: torch.linspace(-6, 4, 21, dtype=torch.float64) + base for name, base in BASE.items()}
    points = torch.linspace(-9, 9, 3001, dtype=torch.float64)
    weights = (-points**2 / 2).exp()
    weights /= weights.sum()
    found = mean_over_intent(logits, noise)
    for name in found:
        fine = sum(w * probabilities(logits, noise * point)[name] for point, w in zip(points, weights, strict=True))
        torch.testing.assert_close(found[name], fine, rtol=0, atol=1e-4)


def test_without_hidden_intent_clicked_rows_convert_like_all_others(shop_without_intent):
    truth = shop_without_intent.truth
    torch.testing.assert_close(truth["bayes.conversion"], truth["bayes.conversion_of_clicked"])
    torch.testing.assert_close(truth["bayes.click"], truth["oracle.click"])


def test_with_hidden_intent_those_who_click_convert_more_than_others_would(shop):
    had_it_been_clicked, of_clicked = shop.truth["bayes.conversion"], shop.truth["bayes.conversion_of_clicked"]
    assert (of_clicked > had_it_been_clicked).all()
    assert (of_clicked - had_it_been_clicked).mean() > 0.03


def test_conversion_of_clicked_is_the_rate_among_clicked_rows(shop):
    clicked = shop.targets["click"] == 1
    bought = shop.targets["purchase"][clicked]
    assert_calibrated(bought, shop.truth["bayes.conversion_of_clicked"][clicked])
    with pytest.raises(AssertionError):
        assert_calibrated(bought, shop.truth["bayes.conversion"][clicked])


def test_conversion_is_the_rate_had_every_row_been_clicked(shop):
    generator = torch.Generator().manual_seed(0)
    bought = torch.rand(ROWS, generator=generator) < shop.truth["oracle.conversion"]
    assert_calibrated(bought, shop.truth["bayes.conversion"])


@pytest.mark.parametrize("correlation", [-1.0, -0.3, 0.0, 0.8, 1.0])
def test_task_correlation_is_the_cosine_of_click_and_convert(correlation):
    weights = draw_weights(3, correlation, 0.0, torch.Generator().manual_seed(1))
    torch.testing.assert_close(weights.norm(dim=-1), torch.ones(3, 3))
    cosine = (weights[:, 0] * weights[:, 1]).sum(-1)
    torch.testing.assert_close(cosine, torch.full((3,), correlation), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_scenario_shift_sets_how_far_scenarios_lie_apart(shift):
    weights = draw_weights(3, 0.5, shift, torch.Generator().manual_seed(1))
    common = draw_weights(3, 0.5, 0.0, torch.Generator().manual_seed(1))
    torch.testing.assert_close(weights.norm(dim=-1), torch.ones(3, 3))
    to_common = torch.full((3, 3), math.sqrt(1 - shift**2))
    torch.testing.assert_close((weights * common).sum(-1), to_common, atol=1e-5, rtol=0)
    between = torch.full((3,), 1 - shift**2)
    torch.testing.assert_close((weights[0] * weights[1]).sum(-1), between, atol=1e-5, rtol=0)
    torch.testing.assert_close((weights[1] * weights[2]).sum(-1), between, atol=1e-5, rtol=0)


def correlation_of(first, second):
    return torch.corrcoef(torch.stack([first, second]))[0, 1].item()


def test_task_correlation_shows_in_what_clicks_and_converts():
    found = []
    for dial in (-0.8, 0.0, 0.8):
        truth = simulate(20_000, task_correlation=dial).truth
        found.append(correlation_of(truth["bayes.click"].logit(), truth["bayes.conversion"].logit()))
    assert found[0] < found[1] - 0.1 < found[1] < found[2] - 0.1


def test_scenario_shift_shows_in_what_the_same_pairs_do_next_elsewhere():
    found = []
    for dial in (0.0, 0.5, 1.0):
        shop = Shop.open(scenario_shift=dial, users=40, items=40)
        feed, search = (shop.truth_of_pairs(s)["next_behaviour"][..., 0].logit().flatten() for s in (0, 1))
        found.append(correlation_of(feed, search))
    assert found[0] == pytest.approx(1)
    assert found[0] > found[1] + 0.1
    assert found[1] > found[2] + 0.1


@pytest.mark.parametrize("imbalance", [1.0, 2.0, 10.0])
def test_each_scenario_has_so_many_times_fewer_rows_than_the_one_before(imbalance):
    counts = simulate(30_000, imbalance=imbalance).scenario.bincount(minlength=len(SCENARIOS))
    share = imbalance ** -torch.arange(3.0)
    share = share / share.sum()
    error = (counts - 30_000 * share) / (30_000 * share * (1 - share)).sqrt()
    assert error.abs().max() < SIGMAS


def test_spend_is_observed_on_purchases_alone_with_the_stated_noise(shop):
    bought = shop.mask("spend")
    assert torch.equal(bought, shop.targets["purchase"] == 1)
    residual = (shop.targets["spend"] - shop.truth["oracle.spend"])[bought]
    assert residual.std().item() == pytest.approx(SPEND_NOISE, rel=0.03)
    assert residual.mean().abs() < SIGMAS * SPEND_NOISE / bought.sum().sqrt()


def test_profile_fields_tell_of_the_user_and_are_the_same_on_all_its_rows(shop):
    for name in ("age_band", "city_tier", "member_level"):
        of_user = torch.full((500,), -1).scatter(0, shop.ids("user"), shop.ids(name))
        assert torch.equal(of_user[shop.ids("user")], shop.ids(name))


@pytest.mark.parametrize("scenario", range(3))
def test_pairs_have_the_next_behaviour_of_their_rows(scenario):
    shop = Shop.open(seed=2, users=60, items=30)
    table = shop.impressions(4_000, seed=2)
    rows = table.scenario == scenario
    pairs = shop.truth_of_pairs(scenario)["next_behaviour"]
    assert pairs.shape == (60, 30, 3)
    torch.testing.assert_close(pairs[table.ids("user")[rows], table.ids("item")[rows]],
                               table.truth["bayes.next_behaviour"][rows], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("dial", "value"), [
    ("task_correlation", 1.5), ("task_correlation", -1.1), ("scenario_shift", -0.1), ("scenario_shift", 2),
    ("imbalance", 0.5), ("imbalance", 2000), ("noise", -1), ("noise", 3.5), ("noise", float("nan")),
    ("users", 0), ("items", 0)])
def test_dial_out_of_its_range_is_refused_by_name(dial, value):
    with pytest.raises(ValueError, match=f"{dial}={value} is outside"):
        simulate(10, **{dial: value})
