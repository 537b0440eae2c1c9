import pytest
import torch

from mtl_tutorial.data.table import Table
from mtl_tutorial.fusion.clients import Clients
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.repeats import stacked
from mtl_tutorial.tasks import Task


@pytest.fixture
def click():
    return [Task("click")]


@pytest.fixture
def merchant_rows():
    """Rows of one client in float64; clients differ in how the features come about, and in size."""

    def make(rows: int, seed: int, shift: float = 0.0) -> Table:
        generator = torch.Generator().manual_seed(seed)
        numeric = torch.randn(rows, 3, generator=generator, dtype=torch.float64) + shift
        ids = torch.randint(4, (rows, 1), generator=generator)
        chance = (numeric[:, 0] - numeric[:, 1] + (ids[:, 0] - 1.5)).sigmoid()
        label = (torch.rand(rows, generator=generator, dtype=torch.float64) < chance).double()
        return Table(ids, (4,), numeric, targets={"click": label}, field_names=("colour",))

    return make


@pytest.fixture
def federation(merchant_rows):
    """Two groups of three unequal, shifted clients: the tables of each, and all of them stacked."""
    groups = [[merchant_rows(rows, 10 * g + c, shift=c - 1.0) for c, rows in enumerate((20, 7, 12))]
              for g in (0, 1)]
    return groups, Clients.of(groups)


@pytest.fixture
def common_model(click):
    """Build a stack of small float64 models, one for each group."""

    def build(table: Table, groups: int, seed: int = 0):
        def one():
            return SharedBottom(table.schema, click, dim=2, widths=(5,), tower=()).double()

        return stacked(one, groups, seed)

    return build
