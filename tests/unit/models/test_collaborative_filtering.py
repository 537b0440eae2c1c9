import numpy as np
import pytest
import torch
from scipy import sparse

from mtl_tutorial.data.table import Table
from mtl_tutorial.models.collaborative_filtering import (
    interactions,
    item_neighbour_scores,
    truncated_svd_scores,
)


@pytest.fixture(scope="module")
def counts():
    """40 users, 15 items, 70 % zeros; one user and one item without any interaction."""
    rng = np.random.default_rng(0)
    dense = rng.poisson(0.4, (40, 15)).astype(float)
    dense[7], dense[:, 3] = 0, 0
    return sparse.csr_array(dense)


def table_of(user, item, click, observed=None):
    masks = {} if observed is None else {"click": torch.tensor(observed)}
    return Table(torch.tensor([user, item]).T, (5, 6), torch.zeros(len(user), 0), field_names=("user", "item"),
                 targets={"click": torch.tensor(click, dtype=torch.float)}, masks=masks)


def test_interactions_are_counted_where_the_label_is_one():
    found = interactions(table_of([0, 0, 1, 0], [2, 2, 2, 1], [1, 1, 1, 0]), "click", 5, 6)
    expected = np.zeros((5, 6))
    expected[0, 2], expected[1, 2] = 2, 1
    np.testing.assert_array_equal(found.toarray(), expected)


def test_label_that_was_not_observed_is_no_interaction():
    found = interactions(table_of([0, 3], [2, 4], [1, 1], [True, False]), "click", 5, 6)
    assert found.sum() == 1
    assert found[0, 2] == 1


def neighbours_by_loops(counts, neighbours):
    """Item by item: cosines with every other item, the largest few, a weighted sum over what the user had."""
    users, items = counts.shape
    norms = [sum(counts[u, i] ** 2 for u in range(users)) ** 0.5 for i in range(items)]
    scores = np.zeros((users, items))
    for i in range(items):
        cosines = {}
        for j in range(items):
            if j != i and norms[i] > 0 and norms[j] > 0:
                cosines[j] = sum(counts[u, i] * counts[u, j] for u in range(users)) / (norms[i] * norms[j])
        for j in sorted(cosines, key=cosines.get, reverse=True)[:neighbours]:
            for u in range(users):
                scores[u, i] += cosines[j] * counts[u, j]
    return scores


@pytest.mark.parametrize("neighbours", [1, 4, 14, 100])
def test_item_neighbours_equal_plain_loops(counts, neighbours):
    np.testing.assert_allclose(item_neighbour_scores(counts, neighbours),
                               neighbours_by_loops(counts.toarray(), neighbours), atol=1e-12)


def test_item_is_no_neighbour_of_itself():
    """A user's only item says nothing of itself where nobody else had it."""
    assert item_neighbour_scores(sparse.csr_array(np.eye(4))).max() == 0


@pytest.mark.parametrize("factors", [1, 3, 10, 14])
def test_truncated_svd_is_the_best_approximation_of_its_rank(counts, factors):
    left, strength, right = np.linalg.svd(counts.toarray(), full_matrices=False)
    expected = np.zeros(counts.shape)
    for f in range(factors):
        expected += strength[f] * np.outer(left[:, f], right[f])
    np.testing.assert_allclose(truncated_svd_scores(counts, factors), expected, atol=1e-10)


def test_all_factors_give_the_interactions_back(counts):
    np.testing.assert_allclose(truncated_svd_scores(counts, 15), counts.toarray(), atol=1e-12)


def test_user_without_interactions_gets_no_scores(counts):
    assert abs(item_neighbour_scores(counts)[7]).max() == 0
    assert abs(truncated_svd_scores(counts, 5)[7]).max() < 1e-12


@pytest.mark.parametrize("factors", [0, 16])
def test_factors_that_the_matrix_does_not_have_are_refused(counts, factors):
    with pytest.raises(ValueError, match=f"factors={factors} is outside 1 … 15"):
        truncated_svd_scores(counts, factors)


def test_item_needs_a_neighbour(counts):
    with pytest.raises(ValueError, match="neighbours=0: an item needs at least one"):
        item_neighbour_scores(counts, 0)
