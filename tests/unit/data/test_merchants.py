import pytest
import torch

from mtl_tutorial.data.marketplace import Shop
from mtl_tutorial.data.marketplace.catalogue import CATEGORIES
from mtl_tutorial.data.marketplace.merchants import assortments, category_shares, merchant


@pytest.fixture(scope="module")
def shop():
    return Shop.open(seed=3)


def test_category_shares_are_those_of_the_impressions(shop):
    shares = category_shares(shop)
    assert shares.sum().item() == pytest.approx(1, abs=1e-5)
    seen = shop.impressions(50_000).ids("category").bincount(minlength=CATEGORIES) / 50_000
    assert ((seen - shares).abs() < 4.5 * (shares * (1 - shares) / 50_000).sqrt() + 1e-9).all()


def test_low_concentration_means_few_categories_and_high_the_whole_shop(shop):
    shares = category_shares(shop)
    for concentration, low, high in ((1e6, 0.0, 0.01), (1.0, 0.2, 0.8), (0.01, 0.75, 1.0)):
        mix = assortments(shop, 50, concentration)
        torch.testing.assert_close(mix.sum(1), torch.ones(50))
        away = (mix - shares).abs().sum(1).mean().item() / 2        # total variation
        assert low <= away <= high


def test_assortments_are_the_shops_in_the_mean_and_drawn_by_the_seed(shop):
    mix = assortments(shop, 4_000, 1.0, seed=1)
    shares = category_shares(shop)
    assert ((mix.mean(0) - shares).abs() < 4.5 * (shares * (1 - shares) / 2 / 4_000).sqrt()).all()
    assert torch.equal(mix, assortments(shop, 4_000, 1.0, seed=1))
    assert not torch.equal(mix, assortments(shop, 4_000, 1.0, seed=2))


def test_a_merchant_shows_its_assortment_and_keeps_the_proportions_within_a_category(shop):
    mix = torch.zeros(CATEGORIES)
    mix[2], mix[5] = 0.75, 0.25
    own = merchant(shop, mix)
    torch.testing.assert_close(category_shares(own), mix)
    inside = shop.items.category == 2
    torch.testing.assert_close(own.items.popularity[inside] / 0.75,
                               shop.items.popularity[inside] / shop.items.popularity[inside].sum())
    assert set(own.impressions(2_000).ids("category").tolist()) == {2, 5}


def test_behaviour_is_the_same_at_every_merchant(shop):
    own = merchant(shop, assortments(shop, 1, 0.3, seed=4)[0])
    for name, value in shop.truth_of_pairs(scenario=1).items():
        assert torch.equal(own.truth_of_pairs(scenario=1)[name], value)


def test_the_whole_shops_assortment_is_the_shop(shop):
    torch.testing.assert_close(merchant(shop, category_shares(shop)).items.popularity, shop.items.popularity)


def test_a_shop_that_lacks_a_category_has_merchants_too():
    small = Shop.open(seed=0, items=5)
    shares = category_shares(small)
    mix = assortments(small, 3, 0.5)
    assert (mix[:, shares == 0] == 0).all()
    torch.testing.assert_close(merchant(small, mix[0]).items.popularity.sum(), torch.tensor(1.0))
    foreign = torch.zeros(CATEGORIES)
    foreign[(shares == 0).nonzero()[0]] = 1.0
    with pytest.raises(ValueError, match="categories with items"):
        merchant(small, foreign)


def test_impossible_assortments_are_refused(shop):
    with pytest.raises(ValueError, match="concentration=0"):
        assortments(shop, 3, 0.0)
    with pytest.raises(ValueError, match="merchants=0"):
        assortments(shop, 0, 1.0)
    with pytest.raises(ValueError, match="not all 0"):
        merchant(shop, torch.zeros(CATEGORIES))
