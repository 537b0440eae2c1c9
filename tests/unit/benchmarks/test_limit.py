import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import limit
from benchmarks.click_log import click_log, tasks_of
from benchmarks.peers import BATCH, DIM, EXPERTS, TOWER, WIDTHS
from benchmarks.rounds import Timing
from mtl_tutorial.balancing.forward import forward
from mtl_tutorial.models.mmoe import MMoE


def test_the_formula_counts_the_operations_that_torch_counts():
    log = click_log(64)
    model = MMoE(log.schema, tasks_of(log), DIM, EXPERTS, WIDTHS, TOWER)
    with FlopCounterMode(display=False) as counter:
        losses, _ = forward(model, tasks_of(log), log)
        losses.sum().backward()
    last_of_towers = 6 * limit.TASKS * TOWER[0]                         # a sum of products, not a matrix product
    assert counter.get_total_flops() / len(log) == pytest.approx(limit.flops_per_row() - last_of_towers)


def test_the_products_alone_are_those_of_the_experts():
    with FlopCounterMode(display=False) as counter:
        limit.products(limit.by_matmul, torch.float32)()
    assert counter.get_total_flops() == limit.flops_of_products()
    assert limit.flops_of_products() == pytest.approx(BATCH * limit.flops_per_row(), rel=0.05)


def test_all_ways_multiply_to_the_same():
    a, b = torch.randn(64, 48), torch.randn(48, 32)
    for multiply in limit.ways().values():
        torch.testing.assert_close(multiply(a, b), a @ b, rtol=0, atol=1e-4)


def test_a_step_that_does_no_more_than_its_operations_reaches_the_whole_rate():
    more = limit.flops_per_row() * BATCH / limit.flops_of_products()
    assert limit.share_reached(Timing((2 * more, 4 * more)), Timing((2.0, 2.0))).samples == pytest.approx((1, 0.5))
