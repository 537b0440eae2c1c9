import math

import numpy as np
import pytest

from mtl_tutorial.diversity import catalogue_coverage, intra_list_diversity, novelty

DISTANCES = np.array([[0.0, 0.2, 1.0, 0.5],
                      [0.2, 0.0, 0.6, 0.4],
                      [1.0, 0.6, 0.0, 0.3],
                      [0.5, 0.4, 0.3, 0.0]])


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


def test_novelty_is_the_surprise_in_bits():
    assert novelty([[0, 1]], [0.5, 0.25, 0.25]) == pytest.approx(1.5)
    assert novelty([[2, 3], [0, 1]], np.full(8, 7.0)) == pytest.approx(math.log2(8))


def test_counts_and_shares_are_equally_novel():
    assert novelty([[0, 2]], [30, 10, 20]) == pytest.approx(novelty([[0, 2]], [3 / 6, 1 / 6, 2 / 6]))


def test_item_that_nobody_had_has_no_novelty():
    with pytest.raises(ValueError, match="list 1, place 0: item 2 has share 0; add a small count to every item"):
        novelty([[0, 1], [2, 0]], [3, 1, 0])


@pytest.mark.parametrize(("lists", "message"), [
    ([0, 1], r"lists must be \[users, k\] integer ids, not \(2,\)"),
    ([[0.0, 1.0]], r"not \(1, 2\) float64"),
    (np.zeros((0, 3), int), r"not \(0, 3\)"),
    ([[0, 4]], "lists hold item 4, the catalogue has 0 … 3"),
    ([[-1, 2]], "lists hold item -1, the catalogue has 0 … 3"),
])
@pytest.mark.parametrize("measure", [lambda lists: intra_list_diversity(lists, DISTANCES),
                                     lambda lists: catalogue_coverage(lists, 4),
                                     lambda lists: novelty(lists, np.ones(4))])
def test_lists_out_of_shape_or_catalogue_are_refused(measure, lists, message):
    with pytest.raises(ValueError, match=message):
        measure(lists)


def test_single_item_has_no_pair():
    with pytest.raises(ValueError, match="a list of 1 item has no pair to compare"):
        intra_list_diversity([[0], [1]], DISTANCES)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
