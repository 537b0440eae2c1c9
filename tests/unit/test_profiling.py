import pytest
import torch

from mtl_tutorial.data.table import Table
from mtl_tutorial.models.mmoe import MMoE
from mtl_tutorial.profiling import GROUPS, REST, shares_of_time, work_of
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit


def test_a_product_and_its_backward_pass_are_counted():
    x, weight = torch.randn(7, 5), torch.randn(5, 3, requires_grad=True)
    forward = work_of(lambda: x @ weight)
    both = work_of(lambda: (x @ weight).sum().backward())
    assert forward == (2 * 7 * 5 * 3, 1)
    assert both.operations == 2 * forward.operations        # x wants no gradient
    assert both.calls > forward.calls
    assert both - forward == (forward.operations, both.calls - forward.calls)


def test_a_batched_product_is_one_call_with_the_work_of_all():
    a, b = torch.randn(6, 4, 3), torch.randn(6, 3, 2)
    batched = work_of(lambda: torch.bmm(a, b))
    one_by_one = work_of(lambda: [x @ y for x, y in zip(a, b, strict=True)])
    assert batched.operations == one_by_one.operations == 6 * 2 * 4 * 3 * 2
    assert batched.calls == 1
    assert one_by_one.calls >= 6


def test_nothing_costs_nothing():
    assert work_of(lambda: None) == (0, 0)


def test_shares_of_the_time_sum_to_one():
    x = torch.randn(500, 500)
    shares = shares_of_time(lambda: [x @ x for _ in range(5)])
    assert list(shares) == [*GROUPS, REST]
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.get) == "products"


def test_what_a_training_step_does_is_found_in_its_profile():
    log = Table(torch.randint(50, (512, 4)), (50,) * 4, torch.zeros(512, 0), targets={"click": torch.ones(512)})
    tasks = [Task("click")]
    model = MMoE(log.schema, tasks, dim=8, experts=4, widths=(64, 32), tower=(16,))
    shares = shares_of_time(lambda: fit(model, log, tasks, epochs=2, batch_size=128, device="cpu"))
    assert min(shares.values()) > 0


def test_the_profiler_leaves_no_traces_in_a_notebook(capfd):
    shares_of_time(lambda: torch.ones(3) + 1)
    assert capfd.readouterr() == ("", "")
