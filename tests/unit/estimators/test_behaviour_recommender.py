import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from mtl_tutorial.estimators.behaviour_recommender import BehaviourRecommender

USERS, ITEMS = 60, 24
BROWSE, CART, BUY = range(3)


@pytest.fixture(scope="module")
def log():
    """Users of group g buy items of group g and browse the rest; some carts come by chance."""
    rng = np.random.default_rng(0)
    pairs = np.stack([rng.integers(0, USERS, 6000), rng.integers(0, ITEMS, 6000)], 1)
    pairs[0] = USERS - 1, ITEMS - 1
    alike = pairs[:, 0] % 3 == pairs[:, 1] % 3
    behaviour = np.where(alike, BUY, np.where(rng.uniform(size=6000) < 0.05, CART, BROWSE))
    return pairs, behaviour, np.arange(USERS) % 3


def new(**arguments):
    return BehaviourRecommender(**{"dim": 8, "epochs": 6, "lr": 0.02, "random_state": 0, **arguments})


@pytest.fixture(scope="module")
def fitted(log):
    return new().fit(*log)


def test_planted_preference_is_learned(fitted, log):
    pairs, behaviour, profile = log
    users = np.arange(USERS)
    assert fitted.score(pairs, behaviour) > 0.9
    assert (fitted.recommend(users, k=8) % 3 == (users % 3)[:, None]).mean() > 0.95
    assert (fitted.predict_profile(users) == profile).mean() > 0.95


def test_recommendations_are_distinct_items_best_first(fitted):
    users = [5, 0, 5]
    found, scores = fitted.recommend(users, k=10), fitted.item_scores(users)
    assert found.shape == (3, 10)
    assert scores.shape == (3, ITEMS)
    for row, mine in zip(found, scores, strict=True):
        assert len(set(row)) == 10
        assert (np.diff(mine[row]) <= 0).all()
        assert mine[row[-1]] >= np.delete(mine, row).max()
    assert found[0].tolist() == found[2].tolist()


def test_all_items_can_be_recommended(fitted):
    assert sorted(fitted.recommend([3], k=ITEMS)[0]) == list(range(ITEMS))


def test_probabilities_are_of_the_three_behaviours(fitted, log):
    pairs = log[0][:50]
    chances = fitted.predict_proba(pairs)
    assert chances.shape == (50, 3)
    np.testing.assert_allclose(chances.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(fitted.predict(pairs), chances.argmax(1))


def head_of(model):
    return model.model_.profile.weight.detach().clone()


@pytest.mark.parametrize("without", [{"profile_weight": 0.0}, {"profile": None}])
def test_profile_head_without_weight_or_labels_is_not_touched(log, without):
    pairs, behaviour, profile = log
    profile = without.pop("profile", profile)
    untrained = head_of(new(epochs=0, **without).fit(pairs, behaviour, profile))
    model = new(epochs=2, **without).fit(pairs, behaviour, profile)
    assert torch.equal(head_of(model), untrained)
    assert model.learned_ == ["behaviour", "item"]
    with pytest.raises(ValueError, match="no profile was learned: fit was given none, or profile_weight is 0"):
        model.predict_profile([0])


def test_profile_head_with_weight_is_trained(log):
    pairs, behaviour, profile = log
    assert not torch.equal(head_of(new(epochs=2).fit(pairs, behaviour, profile)),
                           head_of(new(epochs=0).fit(pairs, behaviour, profile)))


def test_unknown_profiles_are_learned_from_the_others(log):
    pairs, behaviour, profile = log
    hidden = np.where(np.arange(USERS) < 20, -1, profile)
    model = new().fit(pairs, behaviour, hidden)
    assert (model.predict_profile(np.arange(20)) == profile[:20]).mean() > 0.8


def test_browsed_items_are_not_recommended_for_being_browsed():
    """Each user browses one item all the time and carts another once in a while."""
    user = np.repeat(np.arange(20), 40)
    carted = np.tile(np.arange(40) < 8, 20)
    pairs = np.stack([user, np.where(carted, (user + 1) % 20, user)], 1)
    model = new(epochs=40).fit(pairs, np.where(carted, CART, BROWSE))
    users = np.arange(20)
    assert (model.recommend(users, k=1)[:, 0] == (users + 1) % 20).mean() > 0.9


def test_random_state_decides_alone(log):
    pairs, behaviour, profile = log
    first = new(epochs=1, random_state=3).fit(pairs, behaviour, profile)
    torch.manual_seed(7)
    again = new(epochs=1, random_state=3).fit(pairs, behaviour, profile)
    other = new(epochs=1, random_state=4).fit(pairs, behaviour, profile)
    np.testing.assert_array_equal(first.predict_proba(pairs[:100]), again.predict_proba(pairs[:100]))
    assert not np.array_equal(first.predict_proba(pairs[:100]), other.predict_proba(pairs[:100]))


def test_fit_leaves_every_global_random_state_as_it_was(log):
    before, numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    new(epochs=1).fit(*log)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpy, np.random.get_state()[1])


def test_clone_copies_the_arguments():
    model = new(profile_weight=0.5)
    assert clone(model).get_params() == model.get_params()


# --- refusals ------------------------------------------------------------------------------------------------

PAIRS = np.array([[0, 0], [1, 2]])


@pytest.mark.parametrize(("pairs", "behaviour", "profile", "message"), [
    (PAIRS.astype(float), [0, 1], None, r"pairs must be \[N, 2\] integers \(user, item\), not \(2, 2\) float64"),
    (PAIRS[0], [0, 1], None, r"pairs must be \[N, 2\] integers .* not \(2,\)"),
    (np.zeros((3, 3), int), [0, 1, 2], None, r"pairs must be \[N, 2\] integers .* not \(3, 3\)"),
    (np.zeros((0, 2), int), [], None, "pairs must hold at least one row"),
    (-PAIRS, [0, 1], None, "no id below 0"),
    (PAIRS, [0, 1, 2], None, r"behaviour has shape \(3,\), pairs say 2 rows"),
    (PAIRS, [0, 3], None, r"behaviour must be 0, 1 or 2 \(browse, cart, buy\), found \[3\]"),
    (PAIRS, ["browse", "buy"], None, r"behaviour must be 0, 1 or 2 .*, found \['browse' 'buy'\]"),
    (PAIRS, [0, 1], [1], r"profile has shape \(1,\), pairs name 2 users"),
    (PAIRS, [0, 1], [[1], [0]], r"profile has shape \(2, 1\), pairs name 2 users"),
    (PAIRS, [0, 1], [0.0, np.nan], "profile must hold integers, classes from 0, or −1 where unknown"),
    (PAIRS, [0, 1], [0, -2], "profile must hold integers, classes from 0, or −1 where unknown"),
])
def test_what_cannot_be_learned_from_is_refused(pairs, behaviour, profile, message):
    with pytest.raises(ValueError, match=message):
        new().fit(pairs, behaviour, profile)


@pytest.mark.parametrize(("users", "k", "message"), [
    ([USERS], 3, f"users must be integer ids 0 … {USERS - 1}, one per row"),
    ([-1], 3, "users must be integer ids"), ([0.5], 3, "users must be integer ids"),
    ([[0, 1]], 3, "users must be integer ids"), (3, 3, "users must be integer ids"),
    ([0], 0, f"k=0 is outside 1 … {ITEMS}, the number of items"), ([0], ITEMS + 1, f"k={ITEMS + 1} is outside"),
])
def test_what_cannot_be_recommended_for_is_refused(fitted, users, k, message):
    with pytest.raises(ValueError, match=message):
        fitted.recommend(users, k)


@pytest.mark.parametrize(("pair", "message"), [
    ([USERS, 0], f"categorical field 'user', row 1: id {USERS} is outside the vocabulary 0 … {USERS - 1}"),
    ([0, ITEMS], f"categorical field 'item', row 1: id {ITEMS} is outside the vocabulary 0 … {ITEMS - 1}"),
    ([-1, 0], "no id below 0")])
def test_pair_with_an_unknown_id_is_refused(fitted, pair, message):
    with pytest.raises(ValueError, match=message):
        fitted.predict([[0, 0], pair])


@pytest.mark.parametrize("call", [
    lambda model: model.predict(PAIRS), lambda model: model.predict_proba(PAIRS),
    lambda model: model.item_scores([0]), lambda model: model.recommend([0]),
    lambda model: model.predict_profile([0])])
def test_unfitted_model_says_so(call):
    with pytest.raises(NotFittedError):
        call(new())
