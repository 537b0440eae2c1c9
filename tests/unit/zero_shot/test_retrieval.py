import pytest
import torch

from mtl_tutorial.zero_shot import retrieval
from mtl_tutorial.zero_shot.retrieval import top_k


@pytest.mark.parametrize("cells", [1, 25, 2**24])
def test_lists_are_the_same_however_many_users_are_scored_at_once(monkeypatch, cells):
    generator = torch.Generator().manual_seed(0)
    users, items = (torch.randint(-3, 4, (n, 6), generator=generator).double() for n in (17, 23))
    expected = top_k(users, items, 5)
    monkeypatch.setattr(retrieval, "CELLS", cells)
    found = top_k(users, items, 5)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_ties_go_to_the_lower_id():
    users, items = torch.ones(2, 1), torch.tensor([[1.0], [2.0], [1.0], [2.0], [1.0]])
    for k, expected in ((1, [1]), (2, [1, 3]), (3, [1, 3, 0]), (5, [1, 3, 0, 2, 4])):
        assert top_k(users, items, k)[1].tolist() == [expected, expected]


def test_only_candidates_are_listed_by_their_own_ids():
    users, items = torch.ones(1, 1), torch.tensor([[4.0], [3.0], [2.0], [1.0]])
    scores, ids = top_k(users, items, 2, among=torch.tensor([False, True, False, True]))
    assert ids.tolist() == [[1, 3]]
    assert scores.tolist() == [[3.0, 1.0]]


def test_minus_infinity_is_the_worst_score_and_no_error():
    scores, ids = top_k(torch.tensor([[1.0]]), torch.tensor([[-torch.inf], [0.0], [-torch.inf]]), 3)
    assert ids.tolist() == [[1, 0, 2]]
    assert scores[0, 0] == 0


@pytest.mark.parametrize(("users", "items", "k", "message"), [
    (torch.zeros(2, 3), torch.zeros(4, 2), 1, "user vectors have 3 numbers, item vectors 2"),
    (torch.zeros(2, 3), torch.zeros(4, 3), 5, "k=5 is outside 1 … 4"),
    (torch.zeros(2, 3), torch.zeros(4, 3), 0, "k=0 is outside"),
    (torch.tensor([[0.0], [torch.nan]]), torch.zeros(4, 1), 2, "user 1 has a score that is not a number")])
def test_what_cannot_be_ranked_is_refused(users, items, k, message):
    with pytest.raises(ValueError, match=message):
        top_k(users, items, k)
