import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from chances import assert_binomial, assert_calibrated

from mtl_tutorial.data.marketplace import SCENARIOS, Shop
from mtl_tutorial.data.marketplace.behaviour import logits_without_intent
from mtl_tutorial.data.marketplace.catalogue import BRANDS, CATEGORIES
from mtl_tutorial.data.marketplace.merchants import merchant
from mtl_tutorial.data.marketplace.visits import (
    QUIET,
    draw_interest,
    interest_belief,
    interest_prior,
    last_clicks,
    own_rows,
    visits,
)
from mtl_tutorial.evaluation import expected_auc

ROWS, MEMORY = 120_000, 4


@pytest.fixture(scope="module")
def shop():
    return Shop.open(seed=5)


@pytest.fixture(scope="module")
def rows(shop):
    return visits(shop, ROWS, seed=5, memory=MEMORY)


def test_table_is_valid_and_its_fields_are_those_of_the_shops_impressions_and_the_last_clicks(shop, rows):
    rows.validate()
    usual = shop.impressions(50)
    assert len(rows) == ROWS
    assert rows.field_names[:8] == usual.field_names
    assert rows.field_names[8:] == tuple(f"last_{k}{suffix}" for suffix in ("", "_category", "_brand")
                                         for k in (1, 2, 3, 4))
    assert rows.cardinalities == (*usual.cardinalities, *(201,) * 4, *(CATEGORIES + 1,) * 4, *(BRANDS + 1,) * 4)
    item = rows.ids("item")
    assert torch.equal(rows.ids("category"), shop.items.category[item])
    torch.testing.assert_close(rows.numeric[:, 1], shop.items.quality[item])
    assert rows.numeric.shape == (ROWS, 3 + MEMORY)
    assert torch.equal(rows.groups, rows.ids("user"))
    assert all(column.isfinite().all() for _, column in rows.columns())


def test_same_seed_draws_the_same_visits_and_another_seed_others(shop):
    first, again, other = (visits(shop, 300, seed=seed) for seed in (1, 1, 2))
    assert first.fingerprint() == again.fingerprint()
    assert not torch.equal(first.ids("item"), other.ids("item"))
    assert not torch.equal(first.ids("user"), other.ids("user"))


def test_global_random_state_is_left_alone(shop):
    before = torch.get_rng_state()
    visits(shop, 50)
    assert torch.equal(before, torch.get_rng_state())


def test_last_clicks_are_what_a_loop_over_the_rows_remembers():
    draw = torch.Generator().manual_seed(0)
    user, click = torch.randint(7, (400,), generator=draw), torch.randint(2, (400,), generator=draw).float()
    row, age = last_clicks(user, click, 3)
    seen = {number: [] for number in range(7)}
    for now in range(400):
        mine = seen[int(user[now])]                                     # this user's rows so far
        clicked = [then for then in reversed(mine) if click[then] > 0][:3]
        assert row[now].tolist() == clicked + [-1] * (3 - len(clicked))
        ages = [len(mine) - mine.index(then) for then in clicked]
        assert age[now].tolist() == ages + [len(mine) + 1] * (3 - len(ages))
        mine.append(now)


def test_fields_tell_item_category_brand_and_age_of_the_last_clicks(shop, rows):
    row, age = last_clicks(rows.groups, rows.targets["click"], MEMORY)
    told = row >= 0
    for k in range(MEMORY):
        for name in ("item", "category", "brand"):
            found = rows.ids(f"last_{k + 1}" if name == "item" else f"last_{k + 1}_{name}")
            assert torch.equal(found, torch.where(told[:, k], 1 + rows.ids(name)[row[:, k]], 0))
        torch.testing.assert_close(rows.numeric[:, 3 + k], age[:, k].log())
    assert 0.001 < 1 - told.float().mean() < 0.2


def test_a_users_first_row_knows_no_clicks(rows):
    _, step = own_rows(rows.groups)
    first = rows.take((step == 0).nonzero().squeeze(-1))
    assert (first.categorical[:, 8:] == 0).all()
    assert (first.numeric[:, 3:] == 0).all()


def test_what_comes_later_changes_nothing_before(shop):
    rows = visits(shop, 300, seed=2)
    flipped = rows.targets["click"].clone()
    flipped[200:] = 1 - flipped[200:]
    pairs = [last_clicks(rows.groups, click, 4) for click in (flipped, rows.targets["click"])]
    for found, usual in zip(*pairs, strict=True):
        assert torch.equal(found[:201], usual[:201])
        assert not torch.equal(found, usual)


def test_interest_starts_from_the_prior_and_stays_with_its_chance(shop, rows):
    prior, stay = interest_prior(shop.items), 0.9
    torch.testing.assert_close(prior.sum(), torch.tensor(1.0))
    assert prior[0] == QUIET
    order, step = own_rows(rows.groups)
    interest, step = rows.truth["oracle.interest"][order], step[order]
    assert_binomial(interest[step == 0].bincount(minlength=1 + CATEGORIES), prior, int((step == 0).sum()))
    before, after = interest[:-1][step[1:] > 0], interest[1:][step[1:] > 0]
    for state in range(1 + CATEGORIES):
        following = after[before == state].bincount(minlength=1 + CATEGORIES)
        chances = (1 - stay) * prior + stay * torch.eye(1 + CATEGORIES)[state]
        assert_binomial(following, chances, int(following.sum()))


def test_an_interest_that_always_stays_is_one_per_user_and_one_that_never_does_is_drawn_at_each_row():
    user, prior = torch.arange(40).repeat(50), torch.full((5,), 0.2)
    kept = draw_interest(user, prior, 1.0, torch.Generator().manual_seed(1)).view(50, 40)
    assert torch.equal(kept, kept[:1].expand(50, -1))
    assert len(kept[0].unique()) > 2                                    # and not the same for all users
    drawn = draw_interest(user, prior, 0.0, torch.Generator().manual_seed(1)).view(50, 40)
    same = (drawn[1:] == drawn[:-1]).sum()
    assert_binomial(same.unsqueeze(0), torch.tensor([0.2]), 49 * 40)


def test_items_are_shown_by_popularity_and_partly_from_the_category_of_interest(shop):
    focus = 0.4
    rows = visits(shop, ROWS, seed=6, focus=focus)
    interest, item, popularity = rows.truth["oracle.interest"], rows.ids("item"), shop.items.popularity
    for state in (0, 1, 7):
        found = item[interest == state].bincount(minlength=len(popularity))
        within = popularity * (shop.items.category == state - 1)
        chances = popularity if state == 0 else (1 - focus) * popularity + focus * within / within.sum()
        assert_binomial(found, chances, int(found.sum()))


def test_scenarios_have_their_shares_of_the_rows(shop, rows):
    share = shop.scenario_shares / shop.scenario_shares.sum()
    assert_binomial(rows.scenario.bincount(minlength=len(SCENARIOS)), share, ROWS)
    assert torch.equal(rows.scenario, rows.ids("scenario"))


def test_oracle_is_calibrated_also_where_the_item_is_of_interest(rows):
    assert_calibrated(rows.targets["click"], rows.truth["oracle.click"])
    wanted = rows.truth["oracle.interest"] == 1 + rows.ids("category")
    assert_calibrated(rows.targets["click"][wanted], rows.truth["oracle.click"][wanted])


@pytest.mark.parametrize("dials", [{}, {"stay": 0.5, "focus": 0.8}, {"stay": 0.99, "lift": 4.0}])
def test_bayes_is_calibrated_however_sure_it_is_that_the_item_is_of_interest(shop, dials):
    rows = visits(shop, 60_000, seed=7, **dials)
    belief = rows.truth["bayes.interest"].gather(-1, 1 + rows.ids("category").unsqueeze(-1)).squeeze(-1)
    assert_calibrated(rows.targets["click"], rows.truth["bayes.click"])
    assert_calibrated(rows.targets["click"], rows.truth["bayes.click"], order=belief)
    assert_calibrated(rows.truth["oracle.interest"] == 1 + rows.ids("category"), belief)


def test_filter_is_the_sum_over_every_course_the_interest_may_have_taken():
    """Three interests, two users, all 3^T courses written out."""
    draw = torch.Generator().manual_seed(3)
    user = torch.tensor([0, 1, 0, 0, 1, 0, 1, 0])
    shown, chance = (torch.rand(8, 3, generator=draw, dtype=torch.float64) + 0.1 for _ in range(2))
    chance, click = chance / 1.2, torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0])
    prior, stay = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), 0.7
    move = stay * torch.eye(3, dtype=torch.float64) + (1 - stay) * prior            # row: from, column: to
    found = interest_belief(user, shown, chance, click, prior, stay)
    for person in (0, 1):
        mine = (user == person).nonzero().squeeze(-1).tolist()
        for length in range(1, len(mine) + 1):
            weight = torch.zeros(3, dtype=torch.float64)
            for course in itertools.product(range(3), repeat=length):
                likelihood = prior[course[0]]
                for before, after in itertools.pairwise(course):
                    likelihood = likelihood * move[before, after]
                for row, state in zip(mine[:length], course, strict=False):
                    likelihood = likelihood * shown[row, state]
                for row, state in zip(mine[:length - 1], course, strict=False):     # the last click is to come
                    likelihood = likelihood * (chance[row, state] if click[row] else 1 - chance[row, state])
                weight[course[-1]] += likelihood
            torch.testing.assert_close(found[mine[length - 1]], weight / weight.sum(), rtol=1e-12, atol=1e-12)


def test_bayes_of_a_tiny_shop_is_what_enumerating_its_history_gives():
    """One user, four rows, all 13^4 courses; the chance of a click by a fine grid over the intent."""
    shop, stay, lift, focus = Shop.open(seed=9, users=1, items=120), 0.8, 2.0, 0.5
    rows = visits(shop, 4, seed=11, stay=stay, lift=lift, focus=focus)
    item = rows.ids("item")
    position = (rows.numeric[:, 2] * 2.87 + 4.5).round().long()
    logit = logits_without_intent(shop.users, shop.items, shop.weights, rows.ids("user"), item, rows.scenario,
                                  position)["click"].double()
    grid = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    density = (-grid**2 / 2).exp()
    density = density / density.sum()

    def chance(row, state):
        of_interest = state == 1 + shop.items.category[item[row]]
        return ((logit[row] + lift * of_interest + shop.noise * grid).sigmoid() * density).sum().item()

    def likely_to_be_shown(row, state):
        popularity, category = shop.items.popularity.double(), shop.items.category
        share = popularity[item[row]]
        if state == 0:
            return share.item()
        within = share * (category[item[row]] == state - 1) / popularity[category == state - 1].sum()
        return ((1 - focus) * share + focus * within).item()

    prior = interest_prior(shop.items).double().numpy()
    states = [state for state in range(1 + CATEGORIES) if prior[state] > 0]
    assert len(states) == 13
    move = stay * np.eye(13) + (1 - stay) * prior
    shown = np.array([[likely_to_be_shown(row, state) for state in states] for row in range(4)])
    clicks = np.array([[chance(row, state) for state in states] for row in range(4)])
    happened = np.where(rows.targets["click"].numpy()[:, None] > 0, clicks, 1 - clicks)
    for row in range(4):
        above = below = 0.0
        for course in itertools.product(states, repeat=row + 1):
            weight = prior[course[0]] * math.prod(move[pair] for pair in itertools.pairwise(course))
            weight *= math.prod(shown[time, state] for time, state in enumerate(course))
            weight *= math.prod(happened[time, state] for time, state in enumerate(course[:-1]))
            above, below = above + weight * clicks[row, course[-1]], below + weight
        assert rows.truth["bayes.click"][row].item() == pytest.approx(above / below, abs=2e-4)


def test_oracle_ranks_above_bayes_and_bayes_above_who_knows_no_history(shop, rows):
    forgetful = visits(shop, ROWS, seed=5, stay=0.0)
    oracle, bayes = (rows.truth[f"{kind}.click"] for kind in ("oracle", "bayes"))
    assert expected_auc(oracle, oracle) > expected_auc(oracle, bayes) + 0.02
    told = rows.truth["bayes.interest"].gather(-1, rows.truth["oracle.interest"].unsqueeze(-1)).mean()
    guessed = forgetful.truth["bayes.interest"].gather(-1, forgetful.truth["oracle.interest"].unsqueeze(-1)).mean()
    assert told > guessed + 0.1


def test_history_tells_nothing_where_interest_is_drawn_at_each_row(shop):
    rows = visits(shop, 3_000, seed=8, stay=0.0)
    by_item = {}
    for item, belief in zip(rows.ids("item").tolist(), rows.truth["bayes.interest"], strict=True):
        torch.testing.assert_close(belief, by_item.setdefault(item, belief))


def test_bayes_equals_oracle_where_nothing_is_hidden(shop):
    quiet = dataclasses.replace(shop, noise=0.0)
    rows = visits(quiet, 2_000, lift=0.0)
    torch.testing.assert_close(rows.truth["bayes.click"], rows.truth["oracle.click"])
    rows = visits(quiet, 2_000)
    assert (rows.truth["bayes.click"] - rows.truth["oracle.click"]).abs().max() > 0.1


def test_a_category_without_items_is_of_no_interest():
    shop = Shop.open(items=5)
    sold = shop.items.category.bincount(minlength=CATEGORIES) > 0
    rows = visits(shop, 5_000)
    interest = rows.truth["oracle.interest"]
    assert sold[interest[interest > 0] - 1].all()
    assert (rows.truth["bayes.interest"][:, 1:][:, ~sold] == 0).all()
    assert rows.truth["bayes.click"].isfinite().all()


@pytest.mark.parametrize(("dial", "value"), [
    ("rows", 0), ("memory", 0), ("stay", -0.1), ("stay", 1.1), ("lift", -1), ("lift", 6), ("focus", 0.95),
    ("focus", float("nan"))])
def test_dial_out_of_its_range_is_refused_by_name(shop, dial, value):
    with pytest.raises(ValueError, match=f"{dial}={value} is outside"):
        visits(shop, **{"rows": 10, dial: value})


def test_a_merchant_of_one_category_shows_and_wants_nothing_else(shop):
    only = torch.zeros(CATEGORIES)
    only[3] = 1.0
    one = merchant(shop, only)
    prior = interest_prior(one.items)
    assert prior.nonzero().squeeze(-1).tolist() == [0, 4]
    assert (visits(one, 2_000).ids("category") == 3).all()
