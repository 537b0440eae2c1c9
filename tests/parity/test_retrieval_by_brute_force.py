import numpy as np
import pytest
import torch

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.models.two_tower import Columns, TwoTower
from mtl_tutorial.zero_shot.retrieval import top_k


def by_argsort(users, items, k, among):
    """User by user and item by item: products in a plain loop, a stable argsort over the candidates."""
    lists = []
    for user in users.tolist():
        scores = [sum(a * b for a, b in zip(user, item, strict=True)) for item in items.tolist()]
        candidates = [i for i in range(len(items)) if among[i]]
        order = np.argsort([-scores[i] for i in candidates], kind="stable")[:k]
        lists.append(([scores[candidates[place]] for place in order], [candidates[place] for place in order]))
    return lists


def check(users, items, k, among):
    scores, ids = top_k(users, items, k, among)
    for row, (expected_scores, expected_ids) in enumerate(by_argsort(users, items, k, among)):
        assert ids[row].tolist() == expected_ids
        np.testing.assert_allclose(scores[row], expected_scores, rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [1, 3, 10, 40])
@pytest.mark.parametrize("seed", range(3))
def test_top_k_equals_brute_force(seed, k):
    generator = torch.Generator().manual_seed(seed)
    users, items = (torch.randn(n, 8, generator=generator, dtype=torch.float64) for n in (25, 60))
    among = torch.rand(60, generator=generator) < 0.8
    check(users, items, min(k, int(among.sum())), among)


@pytest.mark.parametrize("k", [1, 2, 5, 11, 30])
@pytest.mark.parametrize("seed", range(3))
def test_top_k_equals_brute_force_where_many_scores_tie(seed, k):
    generator = torch.Generator().manual_seed(seed)
    users, items = (torch.randint(-1, 2, (n, 3), generator=generator).double() for n in (25, 40))
    among = torch.ones(40, dtype=torch.bool)
    check(users, items, k, among)
    scores = top_k(users, items, 40)[0]
    assert (scores[:, k - 1] == scores[:, k]).any()         # a tie crosses the list's end


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("k", [1, 5, 30])
def test_lists_of_a_two_tower_model_are_those_of_ranking_every_pair_by_its_score(k, unit):
    """Every user stands beside every item in a row of one forward pass; the towers' vectors are searched apart."""
    torch.manual_seed(k)
    model = TwoTower(Schema((20, 30, 7), 1, 1), Columns([0]), Columns([1, 2], [0]), unit=unit, id_dropout=0.5)
    model = model.double().eval()
    draw = torch.Generator().manual_seed(k)
    category = torch.randint(7, (30,), generator=draw)
    price = torch.randn(30, 1, generator=draw, dtype=torch.float64)

    def rows(user, item):
        return Inputs(torch.stack([user, item, category[item]], 1), price[item], torch.zeros_like(user))

    users, items = torch.arange(20), torch.arange(30)
    with torch.inference_mode():
        scores = model(rows(users.repeat_interleave(30), items.repeat(20)))["item"][::30, :30].numpy()      # [U, I]
        found = top_k(model.user_vectors(rows(users, users * 0)), model.item_vectors(rows(items * 0, items)), k)[1]
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found, expected)
