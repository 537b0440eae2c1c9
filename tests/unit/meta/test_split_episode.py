import pytest
import torch

from mtl_tutorial.meta.split_episode import split_episode


def test_split_episode_follows_the_order_and_counts_the_support_alone():
    y = torch.tensor([0, 0, 0, 1, 1, 2])
    x = 10.0 * y + torch.arange(6) / 10
    order = torch.tensor([5, 1, 3, 0, 2, 4])
    support_x, support_y, query_x, query_y, share = split_episode(x, y, order, 3, classes=4)
    assert support_y.tolist() == [2, 0, 1]
    assert query_y.tolist() == [0, 0, 1]
    assert torch.equal(torch.cat([support_x, query_x]), x[order])
    torch.testing.assert_close(share, torch.tensor([1, 1, 1, 0]) / 3)


@pytest.mark.parametrize("shots", [0, 4])
def test_split_episode_wants_rows_on_both_sides(shots):
    with pytest.raises(ValueError, match="support and query need at least one row each"):
        split_episode(torch.zeros(4, 2), torch.zeros(4, dtype=torch.long), torch.arange(4), shots, 2)
