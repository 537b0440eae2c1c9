import pytest
import torch


@pytest.fixture
def drawn():
    """Features, labels and signatures of six classes with unequal rows, in float64."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(6).repeat_interleave(torch.tensor([9, 12, 7, 10, 8, 11]))
    y = y[torch.randperm(len(y), generator=generator)]
    rows = [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 1, 0]]
    table = torch.tensor(rows, dtype=torch.float64)
    mixing = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    x = table[y] @ mixing + 0.3 * torch.randn(len(y), 5, generator=generator, dtype=torch.float64)
    return x, y, table
