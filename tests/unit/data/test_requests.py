import dataclasses

import pytest
import torch
from chances import SIGMAS, assert_binomial, assert_calibrated
from torch.nn import functional as F

from mtl_tutorial.data.marketplace import REQUEST_TASKS, SCENARIOS, Shop, grades, requests
from mtl_tutorial.data.marketplace.catalogue import CATEGORIES
from mtl_tutorial.data.marketplace.queries import MEANING, NO_QUERY, SPOKEN, WORDS, posterior, wanted
from mtl_tutorial.data.marketplace.requests import CELLS, RETRIEVAL, retrieve
from mtl_tutorial.evaluation import auc

COUNT, LENGTH = 60_000, 8
STEPS = ("click", "cart", "purchase")
SEARCH = SCENARIOS.index("search")


@pytest.fixture(scope="module")
def shop():
    return Shop.open(seed=4)


@pytest.fixture(scope="module")
def pages(shop):
    return requests(shop, COUNT, seed=4)


def one_row_per_request(table):
    """Rows that are independent of each other: those of a page share what its user wants."""
    number = torch.arange(len(table) // LENGTH)
    return table.take(number * LENGTH + number % LENGTH)


def first_rows(table):
    return table.take(torch.arange(0, len(table), LENGTH))


def click_auc(table, rows, kind):
    return auc(table.targets["click"][rows], table.truth[f"{kind}.click"][rows])


def test_table_is_valid_and_holds_every_task(pages):
    pages.validate()
    assert len(pages) == COUNT * LENGTH
    assert set(pages.targets) == set(REQUEST_TASKS)
    assert pages.field_names[-1] == "query"
    assert pages.cardinalities[-1] == WORDS + 1
    assert pages.truth["bayes.intent"].shape == (COUNT * LENGTH, CATEGORIES)
    assert all(column.isfinite().all() for _, column in pages.columns())
    assert torch.equal(pages.scenario, pages.ids("scenario"))


def test_features_are_those_of_the_shops_impressions(shop, pages):
    impressions = shop.impressions(50)
    assert pages.field_names[:-1] == impressions.field_names
    assert pages.cardinalities[:-1] == impressions.cardinalities
    item = pages.ids("item")
    assert torch.equal(pages.ids("category"), shop.items.category[item])
    torch.testing.assert_close(pages.numeric[:, 0], shop.items.log_price[item] - 4.0)
    usual = set(shop.impressions(5_000).numeric[:, 2].tolist())                         # positions 0 … 9
    assert set(pages.numeric[:, 2].tolist()) < usual


def test_a_page_has_one_user_one_scenario_one_query_and_every_position_once(pages):
    for column in (pages.ids("user"), pages.scenario, pages.ids("query"), pages.targets["intent"],
                   pages.mask("intent").long(), pages.groups):
        page = column.unflatten(0, (COUNT, LENGTH))
        assert torch.equal(page, page[:, :1].expand(-1, LENGTH))
    assert torch.equal(pages.groups[::LENGTH], torch.arange(COUNT))
    positions = (pages.numeric[:, 2] * 2.87 + 4.5).round().unflatten(0, (COUNT, LENGTH))
    assert torch.equal(positions, torch.arange(LENGTH).float().expand(COUNT, -1))


@pytest.mark.parametrize("length", [1, LENGTH, 25])
def test_no_item_is_twice_on_a_page(length):
    shop = Shop.open(items=25)
    item = requests(shop, 400, length=length).ids("item").unflatten(0, (400, length)).sort(-1).values
    assert (item.diff(dim=-1) > 0).all()


def test_same_seed_draws_the_same_pages_and_another_seed_others(shop):
    first, again, other = (requests(shop, 200, seed=seed) for seed in (1, 1, 2))
    assert first.fingerprint() == again.fingerprint()
    assert not torch.equal(first.ids("item"), other.ids("item"))
    assert not torch.equal(first.ids("user"), other.ids("user"))


def test_global_random_state_is_left_alone(shop):
    before = torch.get_rng_state()
    requests(shop, 50)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("imbalance", [1.0, 5.0])
def test_scenarios_have_their_shares_of_the_requests(imbalance):
    pages = first_rows(requests(Shop.open(imbalance=imbalance), 20_000))
    share = imbalance ** -torch.arange(3.0)
    assert_binomial(pages.scenario.bincount(minlength=3), share / share.sum(), len(pages))


def test_there_is_a_query_in_search_and_nowhere_else(pages):
    assert torch.equal(pages.ids("query") != NO_QUERY, pages.scenario == SEARCH)
    assert len(pages.ids("query").unique()) == WORDS + 1


def test_words_are_used_as_the_meanings_say():
    torch.testing.assert_close(SPOKEN[1:].sum(0), torch.ones(CATEGORIES))               # somebody says something
    torch.testing.assert_close(MEANING[1:].sum(1), torch.ones(WORDS))
    alike = torch.full((WORDS, CATEGORIES), 1 / CATEGORIES)
    torch.testing.assert_close(posterior(alike, torch.arange(1, WORDS + 1)), MEANING[1:])
    assert ((MEANING[1:] > 0).sum(1).bincount() / WORDS)[2:].sum() > 0.5                # most are ambiguous


def test_what_a_category_is_called_is_how_often_its_words_are_typed(pages):
    search = first_rows(pages.take((pages.scenario == SEARCH).nonzero().squeeze(-1)))
    for category in range(CATEGORIES):
        typed = search.ids("query")[search.targets["intent"] == category].bincount(minlength=WORDS + 1)
        assert_binomial(typed[1:], SPOKEN[1:, category], int(typed.sum()))


@pytest.fixture(scope="module")
def pages_of_few():
    """Many requests of six users, so that every user types every word often enough to count."""
    shop = Shop.open(seed=6, users=6, imbalance=1.0)
    return shop, first_rows(requests(shop, 150_000, seed=6))


def test_what_is_wanted_of_a_user_is_how_often_the_user_wants_it(pages_of_few):
    shop, pages = pages_of_few
    for user in range(6):
        found = pages.targets["intent"][pages.ids("user") == user].bincount(minlength=CATEGORIES)
        assert_binomial(found, wanted(shop.users, shop.items)[user], int(found.sum()))


def test_posterior_is_the_share_of_each_category_among_requests_of_one_user_and_word(pages_of_few):
    shop, pages = pages_of_few
    shape = (len(shop.users.budget), WORDS + 1, CATEGORIES)
    case = pages.ids("user") * shape[1] + pages.ids("query")                            # [N]
    found = (case * CATEGORIES + pages.targets["intent"]).bincount(minlength=shape[0] * shape[1] * shape[2])
    found = found.view(shape).float()
    belief = torch.zeros(shape[0] * shape[1], CATEGORIES)
    belief[case] = pages.truth["bayes.intent"]
    belief = belief.view(shape)
    seen = found.sum(-1, keepdim=True)                                                  # [U, WORDS + 1, 1]
    assert (seen * belief * (1 - belief) > 4).any(-1).sum() > 20                        # enough of each to tell
    assert_binomial(found, belief, seen)


def test_posterior_outside_search_is_what_the_user_alone_tells(shop, pages):
    outside = pages.scenario != SEARCH
    torch.testing.assert_close(pages.truth["bayes.intent"][outside],
                               wanted(shop.users, shop.items)[pages.ids("user")[outside]])


def test_user_and_query_together_tell_more_of_what_is_wanted_than_either_alone(shop, pages):
    search = first_rows(pages.take((pages.scenario == SEARCH).nonzero().squeeze(-1)))
    prior = wanted(shop.users, shop.items)
    anybody = (shop.users.activity @ prior).expand(len(search), -1)

    def accuracy(belief):
        return (belief.argmax(-1) == search.targets["intent"]).float().mean().item()

    user, query = accuracy(prior[search.ids("user")]), accuracy(posterior(anybody, search.ids("query")))
    assert accuracy(anybody) + 0.15 < user < query < accuracy(search.truth["bayes.intent"]) - 0.1


def test_a_category_without_items_is_never_wanted():
    shop = Shop.open(items=5)
    sold = shop.items.category.bincount(minlength=CATEGORIES) > 0
    chances = wanted(shop.users, shop.items)
    torch.testing.assert_close(chances.sum(-1), torch.ones(len(chances)))
    assert (chances[:, ~sold] == 0).all()
    pages = requests(shop, 3_000, length=5)
    assert sold[pages.targets["intent"]].all()
    assert pages.truth["bayes.intent"].isfinite().all()


def test_top_of_a_page_is_drawn_by_popularity_times_meaning(shop):
    word, draws = 30, 40_000
    weight = shop.items.popularity * (1 + RETRIEVAL * MEANING[word, shop.items.category])
    first = weight / weight.sum()
    assert draws > CELLS // len(first)                                  # in more than one portion
    page = retrieve(shop.items, torch.full((draws,), word), 2, torch.Generator().manual_seed(0))
    assert_binomial(page[:, 0].bincount(minlength=len(first)), first, draws)
    second = first * ((first / (1 - first)).sum() - first / (1 - first))    # Σ_i≠j P(i first) · p_j / (1 − p_i)
    assert_binomial(page[:, 1].bincount(minlength=len(first)), second, draws)


def test_search_shows_mostly_what_the_word_may_mean_and_the_rest_of_the_shop_too(shop, pages):
    search = pages.scenario == SEARCH
    query, category = pages.ids("query")[search], pages.ids("category")[search]
    meant = (MEANING[query, category] > 0).double()
    assert 0.6 < meant.mean() < 0.9
    elsewhere = (MEANING[:, shop.items.category] > 0).double() @ shop.items.popularity.double()     # [WORDS + 1]
    assert (query.bincount(meant) / query.bincount() > elsewhere + 0.2)[1:].all()


def test_nobody_buys_what_was_not_carted_nor_carts_what_was_not_clicked(pages):
    for values in (pages.targets, *({name: pages.truth[f"{kind}.{name}"] for name in STEPS}
                                    for kind in ("oracle", "bayes"))):
        assert (values["cart"] <= values["click"]).all()
        assert (values["purchase"] <= values["cart"]).all()


def test_grades_count_the_steps_that_were_taken(pages):
    grade = grades(pages)
    assert set(grade.unique().tolist()) == {0, 1, 2, 3}
    for least, step in enumerate(STEPS, start=1):
        assert torch.equal(grade >= least, pages.targets[step] == 1)


@pytest.mark.parametrize("step", STEPS)
def test_oracle_is_calibrated(pages, step):
    assert_calibrated(pages.targets[step], pages.truth[f"oracle.{step}"])


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("scenario", range(3))
def test_bayes_is_calibrated_in_every_scenario(pages, step, scenario):
    rows = one_row_per_request(pages)
    rows = rows.take((rows.scenario == scenario).nonzero().squeeze(-1))
    assert_calibrated(rows.targets[step], rows.truth[f"bayes.{step}"])


@pytest.mark.parametrize(("noise", "match"), [(0.0, 3.0), (2.0, 1.0)])
def test_bayes_is_calibrated_however_sure_it_is_that_the_item_is_what_is_wanted(noise, match):
    rows = one_row_per_request(requests(Shop.open(seed=8, noise=noise, imbalance=1.0), 60_000, seed=8, match=match))
    rows = rows.take((rows.scenario == SEARCH).nonzero().squeeze(-1))
    chance = rows.truth["bayes.intent"].gather(-1, rows.ids("category").unsqueeze(-1)).squeeze(-1)
    for step in STEPS:
        assert_calibrated(rows.targets[step], rows.truth[f"bayes.{step}"], order=chance)


@pytest.mark.parametrize("scenario", range(3))
def test_oracle_ranks_above_bayes_and_bayes_above_popularity(shop, pages, scenario):
    rows = pages.scenario == scenario
    by_popularity = auc(pages.targets["click"][rows], shop.items.popularity[pages.ids("item")][rows])
    bayes = click_auc(pages, rows, "bayes")
    assert click_auc(pages, rows, "oracle") > bayes + 0.02
    assert bayes > by_popularity + 0.1


def test_bayes_equals_oracle_where_nothing_is_hidden():
    shop = Shop.open(noise=0.0)
    pages = requests(shop, 2_000, match=0.0)
    for step in STEPS:
        torch.testing.assert_close(pages.truth[f"bayes.{step}"], pages.truth[f"oracle.{step}"])
    pages = requests(shop, 2_000)
    hidden = (pages.truth["bayes.click"] - pages.truth["oracle.click"]).abs()
    assert hidden[pages.scenario != SEARCH].max() < 1e-6
    assert hidden[pages.scenario == SEARCH].max() > 0.1


def odds_ratio_of_what_is_wanted(pages, rows):
    """How much oftener the wanted is clicked, as a difference of log odds of the mean chances."""
    found = F.one_hot(pages.targets["intent"], CATEGORIES).gather(-1, pages.ids("category").unsqueeze(-1))
    found = found.squeeze(-1).bool()
    chance = pages.truth["oracle.click"]
    return (chance[rows & found].mean().logit() - chance[rows & ~found].mean().logit()).item()


def test_wanted_items_are_clicked_more_in_search_the_more_so_the_higher_the_dial(shop):
    found = [odds_ratio_of_what_is_wanted(pages, pages.scenario == SEARCH)
             for pages in (requests(shop, 6_000, match=match) for match in (0.0, 1.0, 2.0))]
    assert found[1] > found[0] + 1
    assert found[2] > found[1] + 1


def test_feed_and_ads_do_not_depend_on_what_is_wanted(shop):
    weak, strong = (requests(shop, 3_000, match=match) for match in (0.0, 3.0))
    outside = weak.scenario != SEARCH
    for kind in ("oracle", "bayes"):
        for step in STEPS:
            name = f"{kind}.{step}"
            assert torch.equal(weak.truth[name][outside], strong.truth[name][outside])
            assert not torch.equal(weak.truth[name], strong.truth[name])


@pytest.mark.parametrize("labelled", [0.0, 0.3, 1.0])
def test_so_many_search_requests_are_labelled_and_nothing_else_changes(shop, labelled):
    pages, usual = requests(shop, 10_000, labelled=labelled), requests(shop, 10_000)
    assert not (pages.mask("intent") & (pages.scenario != SEARCH)).any()
    search = pages.scenario[::LENGTH] == SEARCH
    found = pages.mask("intent")[::LENGTH][search].float()
    assert abs(found.mean() - labelled) <= SIGMAS * (labelled * (1 - labelled) / len(found)) ** 0.5
    unmasked = [dataclasses.replace(table, masks={}).fingerprint() for table in (pages, usual)]
    assert unmasked[0] == unmasked[1]


@pytest.mark.parametrize(("dial", "value"), [
    ("count", 0), ("length", 0), ("length", 201), ("labelled", -0.1), ("labelled", 1.2), ("match", -1),
    ("match", 3.5), ("match", float("nan"))])
def test_dial_out_of_its_range_is_refused_by_name(shop, dial, value):
    with pytest.raises(ValueError, match=f"{dial}={value} is outside"):
        requests(shop, **{"count": 10, dial: value})
