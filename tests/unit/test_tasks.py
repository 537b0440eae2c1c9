import pytest
import torch
from torch.nn import functional as F

from mtl_tutorial.data.table import Table
from mtl_tutorial.tasks import Task, losses, masked_mean, weighted_loss


def test_loss_of_each_kind_is_torchs(mixed_table, mixed_tasks):
    table = mixed_table(40, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    outputs = {"click": torch.randn(40, generator=generator, dtype=torch.float64),
               "segment": torch.randn(40, 3, generator=generator, dtype=torch.float64),
               "spend": torch.randn(40, generator=generator, dtype=torch.float64)}
    bought = table.mask("spend")
    expected = torch.stack([F.binary_cross_entropy_with_logits(outputs["click"], table.targets["click"]),
                            F.cross_entropy(outputs["segment"], table.targets["segment"]),
                            F.mse_loss(outputs["spend"][bought], table.targets["spend"][bought])])
    torch.testing.assert_close(losses(mixed_tasks, outputs, table), expected)


def test_losses_of_a_stacked_table_are_those_of_its_repeats(mixed_table, mixed_tasks):
    tables = [mixed_table(20, seed=seed) for seed in (1, 2)]
    outputs = [{"click": torch.randn(20), "segment": torch.randn(20, 3), "spend": torch.randn(20)} for _ in tables]
    stacked = {name: torch.stack([output[name] for output in outputs]) for name in outputs[0]}
    found = losses(mixed_tasks, stacked, Table.stack(tables))
    for repeat in range(2):
        torch.testing.assert_close(found[repeat], losses(mixed_tasks, outputs[repeat], tables[repeat]))


def test_unobserved_labels_move_nothing():
    output = torch.zeros(4, requires_grad=True)
    table = Table.from_features(torch.zeros(4, 1), targets={"y": torch.tensor([1.0, 2.0, 99.0, -99.0])},
                                masks={"y": torch.tensor([True, True, False, False])})
    losses([Task("y", "regression")], {"y": output}, table).sum().backward()
    assert output.grad.tolist() == [-1.0, -2.0, 0.0, 0.0]


def test_a_batch_without_any_observed_row_teaches_nothing():
    values = torch.tensor([[3.0], [4.0]], requires_grad=True)
    mean = masked_mean(values, torch.zeros(2, 1, dtype=torch.bool))
    mean.sum().backward()
    assert mean.tolist() == [0.0]
    assert values.grad.tolist() == [[0.0], [0.0]]


def test_bfloat16_outputs_are_scored_in_float32():
    table = Table.from_features(torch.zeros(1000, 1), targets={"y": torch.zeros(1000)})
    loss = losses([Task("y")], {"y": torch.full((1000,), -0.1, dtype=torch.bfloat16)}, table)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(F.softplus(torch.tensor(-0.1).bfloat16().float()).item(), rel=1e-6)


def test_weighted_loss_weighs_the_means():
    row_losses = torch.tensor([[1.0, 10.0], [3.0, 20.0]])
    mask = torch.tensor([[True, True], [True, False]])
    assert weighted_loss(row_losses, mask, torch.tensor([1.0, 0.5])).item() == 2.0 + 5.0


def test_prediction_is_a_probability_or_the_mean():
    assert Task("a").prediction(torch.tensor([0.0])).tolist() == [0.5]
    assert Task("b", "multiclass", 4).prediction(torch.zeros(1, 4)).tolist() == [[0.25] * 4]
    assert Task("c", "regression").prediction(torch.tensor([7.0])).tolist() == [7.0]


def test_task_that_the_model_does_not_emit_is_named():
    table = Table.from_features(torch.zeros(2, 1), targets={"cart": torch.zeros(2)})
    with pytest.raises(KeyError, match="task 'cart': the model emits only buy, click"):
        losses([Task("cart")], {"click": torch.zeros(2), "buy": torch.zeros(2)}, table)


@pytest.mark.parametrize(("kind", "classes"), [("binary", 2), ("regression", 1), ("multiclass", None)])
def test_classes_go_with_multiclass_alone(kind, classes):
    with pytest.raises(ValueError, match="task 'y': give classes for a multiclass task, and for no other"):
        Task("y", kind, classes)


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="task 'y': kind 'ordinal' is none of binary, multiclass, regression"):
        Task("y", "ordinal")
