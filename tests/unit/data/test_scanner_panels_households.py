import math

import numpy as np
import pytest
import torch
from panel_rows import panel_rows

from mtl_tutorial.data import scanner_panels
from mtl_tutorial.data.scanner_panels import prepare, read_scanner_panels
from mtl_tutorial.data.scanner_panels_audit import tell_tale_prices
from mtl_tutorial.data.scanner_panels_columns import BRANDS, CATEGORY_OF
from mtl_tutorial.data.scanner_panels_households import (
    FEATURES,
    PLACES,
    Households,
    draw_episodes,
    episodes,
    households,
    mean_by_category,
    split_households,
)
from mtl_tutorial.meta.loyalty import taste, with_taste

TUNA = [("tuna", ["skw", "pw", "skw", "coso", "pw", "pw", "sko"]), ("tuna", ["cosw"] * 6), ("tuna", ["skw", "pw"])]
CATSUP = ("catsup", ["heinz28", "heinz32", "heinz41", "hunts32", "heinz28", "heinz28", "heinz32", "heinz28"])


@pytest.fixture(scope="module")
def raw():
    return read_scanner_panels()


@pytest.fixture(scope="module")
def by_hand():
    """Three households with enough purchases, in the order of the rows: the catsup one first."""
    return households(panel_rows(CATSUP, *TUNA), order="source", fewest=6, most=7)


def test_household_is_its_purchases_in_turn(by_hand):
    assert len(by_hand) == 3
    assert by_hand.category.tolist() == [0, 3, 3]
    assert by_hand.number.tolist() == [0, 1, 2]
    assert by_hand.known.sum(1).tolist() == [7, 7, 6]
    places = [BRANDS["tuna"].index(brand) for brand in TUNA[0][1]]
    assert by_hand.bought[1].tolist() == places
    assert by_hand.bought[0].tolist() == [BRANDS["catsup"].index(brand) for brand in CATSUP[1][:7]]


def test_shelf_holds_the_brands_of_its_category_and_empty_places_nothing(by_hand):
    brand = by_hand.shelf[..., 1:1 + len(CATEGORY_OF)]                                  # [H, P, J, 21]
    assert brand[0, 0].argmax(-1).tolist()[:4] == [0, 1, 2, 3]
    assert brand[1, 0].argmax(-1).tolist() == [12, 13, 14, 15, 16]
    assert by_hand.shelf[0, :, 4].abs().max() == 0
    assert by_hand.shelf[2, 6].abs().max() == 0
    assert by_hand.shelf[..., 0].sum((1, 2)).tolist() == [7 * 4, 7 * 5, 6 * 5]
    assert by_hand.shelf.shape == (3, 7, PLACES, len(FEATURES))


def test_relative_price_is_a_fraction():
    shelf = households(panel_rows(TUNA[1]).assign(price=[2.0, 1, 1, 1, 0] * 6), order="source").shelf
    assert shelf[0, 0, :, FEATURES.index("relative_price")].tolist() == pytest.approx([0.6, -0.2, -0.2, -0.2, 0])


def test_purchases_are_those_of_the_prepared_rows(raw):
    rows = prepare(raw, seed=4)
    told = tell_tale_prices(raw)
    tasks = households(raw, seed=4, fewest=6, most=9)
    chosen = rows[rows["bought"] == 1]
    size = chosen.groupby("number").size()
    assert tasks.number.tolist() == size.index[size >= 6].tolist()
    assert tasks.known.sum(1).tolist() == size[size >= 6].clip(upper=9).tolist()
    first = chosen[chosen["number"].isin(tasks.number.tolist())].groupby("number").head(9)
    pairs = zip(first["category"], first["brand"], strict=True)
    assert tasks.bought[tasks.known].tolist() == [BRANDS[category].index(brand) for category, brand in pairs]
    assert len(told)
    assert not set(zip(told["brand"], told["price"], strict=True)) & set(
        zip(first["brand"], first["price"], strict=True))


def test_no_input_depends_on_what_anybody_bought(raw):
    """The shelf's features are the same whatever was taken from it, so no history can hide in them."""
    other = raw.copy()
    other["bought"] = np.roll(raw["bought"].to_numpy(), 1)
    purchases = raw.groupby(["category", "household", "occasion"], observed=True)
    place, last = purchases.cumcount(), purchases["bought"].transform("last")
    other.loc[place == 0, "bought"] = last[place == 0]                  # each choice one place further
    assert not other["bought"].equals(raw["bought"])
    keep = {"order": "source", "fewest": 2, "most": 200}
    with pytest.MonkeyPatch.context() as patch:                         # which prices tell depends on choices, too
        patch.setattr(scanner_panels, "has_tell_tale_price", lambda rows: np.zeros(len(rows), bool))
        first, second = households(raw, **keep), households(other, **keep)
    assert first.shelf.equal(second.shelf)
    assert not first.bought.equal(second.bought)


def test_shuffle_keeps_a_household_s_purchases_and_changes_their_order(raw):
    orders = (("source",), ("shuffled", 1), ("shuffled", 1))
    source, shuffled, again = (households(raw, *order, most=200) for order in orders)
    assert shuffled.bought.equal(again.bought)
    assert not shuffled.bought.equal(source.bought)
    one_hot = torch.nn.functional.one_hot
    counts = [(one_hot(tasks.bought, PLACES) * tasks.known.unsqueeze(-1)).sum(1) for tasks in (source, shuffled)]
    assert counts[0].equal(counts[1])
    tuna = source.category == 3
    pairs = tuna[:, None] & source.known[:, 1:]
    assert (source.bought.diff(dim=1)[pairs] >= 0).all()                                # sorted by the brand bought
    assert (shuffled.bought.diff(dim=1)[pairs] < 0).float().mean() > 0.1


def test_split_puts_a_household_in_one_part_only(raw):
    tasks = households(raw)
    parts = split_households(tasks, (0.6, 0.15, 0.25), seed=2)
    names = torch.cat([part.number for part in parts])
    assert names.sort().values.equal(tasks.number)
    for share, part in zip((0.6, 0.15, 0.25), parts, strict=True):
        expected = share * tasks.category.bincount()
        assert part.category.bincount().tolist() == pytest.approx(expected.tolist(), abs=1)
    other = split_households(tasks, (0.6, 0.15, 0.25), seed=3)
    assert [len(part) for part in other] == [len(part) for part in parts]
    assert not other[0].number.equal(parts[0].number)


@pytest.mark.parametrize("shares", [(0.6, 0.5), (0.5, 0.0)])
def test_split_into_impossible_shares_is_refused(by_hand, shares):
    with pytest.raises(ValueError, match="shares must be positive and sum to at most 1"):
        split_households(by_hand, shares, seed=0)


@pytest.mark.parametrize(("arguments", "problem"), [
    ({"fewest": 1}, "fewest=1"), ({"fewest": 8, "most": 7}, "most=7"),
    ({"order": "time"}, "order 'time' is unknown")])
def test_wrong_arguments_are_named(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        households(panel_rows(*TUNA), **arguments)


def test_episode_shows_the_first_purchases_and_asks_for_those_after_the_support_set(by_hand):
    task = episodes(by_hand, torch.tensor([3, 1, 2]), support=3)
    assert task.support_mask.tolist() == [[True] * 3, [True, False, False], [True, True, False]]
    assert task.support_y.equal(by_hand.bought[:, :3])
    assert task.query_y.equal(by_hand.bought[:, 3:])
    assert task.support_x.equal(by_hand.shelf[:, :3])
    assert task.query_x.equal(by_hand.shelf[:, 3:])
    assert task.query_mask.equal(by_hand.known[:, 3:])


def test_what_is_asked_for_does_not_depend_on_how_much_was_seen(by_hand):
    one, five = episodes(by_hand, 1), episodes(by_hand, 5)
    assert one.query_y.equal(five.query_y)
    assert one.query_mask.equal(five.query_mask)


def test_draws_stand_behind_one_another(by_hand):
    both = Households.stack([by_hand, by_hand.take(torch.tensor([2, 1, 0]))])
    task = episodes(both, torch.tensor([[1, 1, 1], [2, 2, 2]]))
    assert task.tasks == 6
    assert task.support_mask.sum(1).tolist() == [1, 1, 1, 2, 2, 2]
    assert task.query_y.equal(torch.cat([by_hand.bought[:, 5:], by_hand.bought.flip(0)[:, 5:]]))
    picked = both.take(torch.tensor([[0], [2]]))
    assert picked.number.tolist() == [[0], [0]]


def test_draws_of_different_sizes_are_refused(by_hand):
    with pytest.raises(ValueError, match="as many households and purchases"):
        Households.stack([by_hand, by_hand.take(torch.tensor([0]))])


@pytest.mark.parametrize("seen", [0, 6])
def test_more_or_less_seen_than_the_support_set_holds_is_refused(by_hand, seen):
    with pytest.raises(ValueError, match="seen must be 1 … 5 purchases"):
        episodes(by_hand, seen)


def test_household_without_a_purchase_to_predict_is_refused(by_hand):
    with pytest.raises(ValueError, match="every household needs a purchase to predict after the first 6"):
        episodes(by_hand, 1, support=6)


def test_drawn_episodes_are_those_of_their_own_draw(by_hand):
    both = Households.stack([by_hand.take(torch.tensor([0, 1])), by_hand.take(torch.tensor([2, 2]))])
    task = draw_episodes(both, 40, [1, 3], seed=0)
    assert task.tasks == 80
    assert set(task.support_mask.sum(1).tolist()) == {1, 3}
    assert (task.query_y[40:] == by_hand.bought[2, 5:]).all()
    drawn, there = ({tuple(row) for row in rows.tolist()} for rows in (task.query_y[:40], by_hand.bought[:2, 5:]))
    assert drawn == there
    assert task.support_y.equal(draw_episodes(both, 40, [1, 3], seed=0).support_y)


def test_drawing_from_a_draw_that_is_not_stacked_is_refused(by_hand):
    with pytest.raises(ValueError, match=r"stack them first, Households.stack\(\[tasks\]\)"):
        draw_episodes(by_hand, 4, [1, 3], seed=0)
    assert draw_episodes(Households.stack([by_hand]), 4, [1, 3], seed=0).tasks == 4


def test_mean_by_category_weighs_each_household_the_same(by_hand):
    both = Households.stack([by_hand, by_hand.take(torch.tensor([2, 1, 0]))])
    means = mean_by_category(torch.tensor([[1.0, 2, 4, 1, 2, 4]]), both)
    assert means.shape == (1, 2, 5)
    assert means[0, :, [0, 3]].tolist() == [[1, 3], [4, 1.5]]
    assert means[0, :, 1].isnan().all()
    assert mean_by_category(torch.tensor([1.0, 2, 4]), by_hand)[[0, 3]].tolist() == [1, 3]


def test_taste_is_laplaces_rule_over_the_brands_on_the_shelf():
    brands = torch.tensor([[True] * 4 + [False]])
    learned = taste(torch.tensor([[2, 2, 0]]), torch.tensor([[True, True, False]]), brands)
    once, thrice = math.log(4 * 1 / 6), math.log(4 * 3 / 6)
    assert learned.tolist()[0] == pytest.approx([once, once, thrice, once, 0])
    assert taste(torch.tensor([[2, 2, 0]]), torch.zeros(1, 3, dtype=torch.bool), brands).abs().max() == 0


def test_taste_knows_neither_the_query_nor_what_was_not_seen(by_hand):
    task = episodes(by_hand, 2)
    hidden = task._replace(query_y=torch.zeros_like(task.query_y), support_y=task.support_y.clone())
    hidden.support_y[:, 2:] = 0
    told = with_taste(task)
    assert told.query_x.equal(with_taste(hidden).query_x)
    assert told.query_x[..., :-1].equal(task.query_x)
    assert told.support_x[..., -1].abs().max() == 0             # a purchase does not tell of itself
    assert told.query_x[1, :, :, -1].allclose((5 * torch.tensor([2, 1, 1, 1, 2.0]) / 7).log().expand(2, -1))
