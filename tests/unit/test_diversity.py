import numpy as np
import pytest

from mtl_tutorial.diversity import catalogue_coverage, diversify, intra_list_diversity

DISTANCES = np.array([[0.0, 0.2, 1.0, 0.5],
                      [0.2, 0.0, 0.6, 0.4],
                      [1.0, 0.6, 0.0, 0.3],
                      [0.5, 0.4, 0.3, 0.0]])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_diversity_is_the_mean_distance_of_the_pairs_of_a_list():
    assert intra_list_diversity([[0, 1, 2]], DISTANCES) == pytest.approx((0.2 + 1.0 + 0.6) / 3)


def test_diversity_is_averaged_over_lists():
    assert intra_list_diversity([[0, 2], [1, 0]], DISTANCES) == pytest.approx((1.0 + 0.2) / 2)


def test_diversity_equals_a_plain_loop(rng):
    vectors = rng.normal(size=(30, 4))
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=-1)
    lists = np.stack([rng.permutation(30)[:7] for _ in range(12)])
    plain = []
    for shown in lists:
        plain.append(np.mean([distances[i, j] for i in shown for j in shown if i != j]))
    assert intra_list_diversity(lists, distances) == pytest.approx(np.mean(plain), rel=1e-12)


def test_list_of_items_that_are_all_alike_has_no_diversity():
    assert intra_list_diversity([[0, 1, 2]], np.zeros((3, 3))) == 0
    assert intra_list_diversity([[0, 1, 2]], 1 - np.eye(3)) == 1


def test_coverage_counts_each_item_once_over_all_lists():
    assert catalogue_coverage([[0, 1], [1, 2]], items=12) == 3 / 12
    assert catalogue_coverage([[3, 4]] * 50, items=10) == 2 / 10
    assert catalogue_coverage(np.arange(10).reshape(5, 2), items=10) == 1


@pytest.mark.parametrize(("lists", "message"), [
    ([0, 1], r"lists must be \[users, k\] integer ids, not \(2,\)"),
    ([[0.0, 1.0]], r"not \(1, 2\) float64"),
    (np.zeros((0, 3), int), r"not \(0, 3\)"),
    ([[0, 4]], "lists hold item 4, the catalogue has 0 … 3"),
    ([[-1, 2]], "lists hold item -1, the catalogue has 0 … 3"),
])
@pytest.mark.parametrize("measure", [lambda lists: intra_list_diversity(lists, DISTANCES),
                                     lambda lists: catalogue_coverage(lists, 4)])
def test_lists_out_of_shape_or_catalogue_are_refused(measure, lists, message):
    with pytest.raises(ValueError, match=message):
        measure(lists)


def test_single_item_has_no_pair():
    with pytest.raises(ValueError, match="a list of 1 item has no pair to compare"):
        intra_list_diversity([[0], [1]], DISTANCES)


def test_free_distance_gives_the_best_scored_items(rng):
    scores, distances = rng.normal(size=(9, 20)), rng.random((20, 20))
    np.testing.assert_array_equal(diversify(scores, distances, 6, price=0.0), np.argsort(-scores, 1)[:, :6])


def test_priceless_distance_takes_the_best_and_then_what_is_farthest():
    assert diversify([[0.9, 0.8, 0.1, 0.5]], DISTANCES, 3, price=1e6).tolist() == [[0, 2, 1]]


@pytest.mark.parametrize("price", [0.1, 1.0, 5.0])
def test_lists_are_those_of_a_greedy_plain_loop(rng, price):
    vectors, scores = rng.normal(size=(15, 3)), rng.normal(size=(8, 15))
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=-1)
    found = diversify(scores, distances, 5, price)
    for user, shown in enumerate(found):
        chosen = []
        for item in shown:
            worth = {i: scores[user, i] + price * (np.mean([distances[i, j] for j in chosen]) if chosen else 0.0)
                     for i in range(15) if i not in chosen}
            assert item == max(worth, key=worth.get)
            chosen.append(item)


def test_dearer_distance_gives_more_varied_lists(rng):
    vectors, scores = rng.normal(size=(40, 3)), rng.normal(size=(30, 40))
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=-1)
    varied = [intra_list_diversity(diversify(scores, distances, 8, price), distances) for price in (0, 0.3, 1, 3)]
    assert np.diff(varied).min() > 0


def test_scores_are_left_as_they_were(rng):
    scores = rng.normal(size=(3, 4))
    before = scores.copy()
    diversify(scores, DISTANCES, 2, 1.0)
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize(("k", "price"), [(0, 1.0), (5, 1.0), (2, -0.1)])
def test_list_length_or_price_that_makes_no_sense_is_refused(k, price):
    with pytest.raises(ValueError, match=f"k={k} must be 1 … 4, the number of items, and price={price} at least 0"):
        diversify(np.zeros((2, 4)), DISTANCES, k, price)
