import pytest
import torch
from torch import nn

from mtl_tutorial.balancing.pcgrad import PCGrad
from mtl_tutorial.checkpoint import CheckpointError
from mtl_tutorial.data.table import Table
from mtl_tutorial.lazy_adam import LazyAdam, sparse_updates
from mtl_tutorial.models.mmoe import MMoE
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.training import fit

KNOBS = {"batch_size": 50, "lr": 0.01, "device": "cpu"}
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def new_table(rows=9, dim=4, device="cpu"):
    torch.manual_seed(0)
    return nn.Parameter(torch.randn(rows, dim, dtype=torch.float64).to(device))


def draws(steps, rows=9, size=5):
    """Yield the ids that each step looks up, some of them twice."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(rows, (size,), generator=generator) for _ in range(steps)]


def descend(table, optimizer, ids, sparse=True):
    """Take a step on a loss that weighs each place differently, so that rows get unlike gradients."""
    optimizer.zero_grad(set_to_none=True)
    found = nn.functional.embedding(ids.to(table.device), table, sparse=sparse)
    (found.pow(2).sum(-1) * torch.arange(1, len(ids) + 1, device=table.device)).sum().backward()
    optimizer.step()


# --- the optimizer -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=gpu)])
def test_named_rows_move_as_with_sparse_adam(device):
    ours, theirs = new_table(device=device), new_table(device=device)
    # without eps, which SparseAdam adds before it corrects the second moment
    lazy, peer = LazyAdam([ours], lr=0.1, eps=1e-30), torch.optim.SparseAdam([theirs], lr=0.1, eps=1e-30)
    for ids in draws(20):
        descend(ours, lazy, ids)
        descend(theirs, peer, ids)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_rows_that_every_batch_names_learn_as_with_adam():
    ours, theirs = new_table(), new_table()
    lazy = LazyAdam([ours], lr=0.1, weight_decay=0.3)
    peer = torch.optim.Adam([theirs], lr=0.1, weight_decay=0.3, fused=True)
    for extra in draws(20):
        ids = torch.cat([torch.arange(9), extra])
        descend(ours, lazy, ids)
        descend(theirs, peer, ids, sparse=False)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_rows_that_a_batch_does_not_name_wait_with_their_moments():
    table = new_table()
    lazy = LazyAdam([table], lr=0.1, weight_decay=0.3)
    descend(table, lazy, torch.arange(9))
    whole = [table, lazy.state[table]["exp_avg"], lazy.state[table]["exp_avg_sq"]]
    before = [tensor.detach().clone() for tensor in whole]
    descend(table, lazy, torch.tensor([2, 7, 2]))
    for old, new in zip(before, whole, strict=True):
        changed = (old != new).any(1)
        assert changed.nonzero().flatten().tolist() == [2, 7]


def test_adam_itself_moves_rows_that_no_batch_names_any_more():
    table = new_table()
    adam = torch.optim.Adam([table], lr=0.1)
    descend(table, adam, torch.arange(9), sparse=False)
    before = table.detach().clone()
    descend(table, adam, torch.tensor([2, 7, 2]), sparse=False)
    assert (table != before).all()


def test_dense_gradients_are_adams_to_the_bit_beside_sparse_ones():
    ours, theirs = (nn.Linear(4, 1, dtype=torch.float64) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    table, lazy = new_table(), None
    lazy = LazyAdam([{"params": [table], "lr": 0.5}, {"params": list(ours.parameters()), "lr": 0.1}])
    peer = torch.optim.Adam(theirs.parameters(), lr=0.1, fused=True)
    for ids in draws(5):
        vectors = nn.functional.embedding(ids, table, sparse=True)
        lazy.zero_grad()
        ours(vectors).pow(2).sum().backward()
        peer.zero_grad()
        theirs(vectors.detach()).pow(2).sum().backward()
        lazy.step()
        peer.step()
    assert all(torch.equal(mine, other) for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert table.grad.is_sparse, "the gradient was not given back"


def test_a_closure_is_called_once_and_its_loss_returned():
    table, called = new_table(), []
    lazy = LazyAdam([table], lr=0.1)

    def closure():
        called.append(1)
        loss = nn.functional.embedding(torch.tensor([3]), table, sparse=True).sum()
        loss.backward()
        return loss

    before = table.detach().clone()
    assert lazy.step(closure).item() == before[3].sum().item()
    assert called == [1]
    assert (table != before).any(1).nonzero().flatten().tolist() == [3]


# --- training ------------------------------------------------------------------------------------------------

def embeddings(model):
    return model.encoder.embedding.table.weight


def new_model(table, tasks, sparse):
    torch.manual_seed(0)
    return sparse_updates(SharedBottom(table.schema, tasks, widths=(16,)), sparse)


def unseen(table):
    """The same rows beside ids that none of them has: 100 in each field."""
    return Table(table.categorical, tuple(size + 100 for size in table.cardinalities), table.numeric,
                 targets=table.targets, masks=table.masks)


def test_the_first_step_is_adams(mixed_table, mixed_tasks):
    table = unseen(mixed_table(50))
    found = []
    for sparse in (True, False):
        model = new_model(table, mixed_tasks, sparse)
        fit(model, table, mixed_tasks, epochs=1, **KNOBS)
        found.append(model.state_dict())
    assert all(torch.allclose(value, found[1][name], rtol=1e-5, atol=1e-6) for name, value in found[0].items())


def test_ids_that_no_row_has_keep_their_vectors_and_the_others_learn(mixed_table, mixed_tasks):
    table = unseen(mixed_table())
    model = new_model(table, mixed_tasks, sparse=True)
    before = embeddings(model).detach().clone()
    history = fit(model, table, mixed_tasks, epochs=4, weight_decay=0.1, **KNOBS)
    changed = (embeddings(model) != before).any(1).nonzero().flatten()
    assert changed.tolist() == [0, 1, 2, 3, 4, 105, 106, 107, 108]          # of 105 and 104 ids
    assert embeddings(model).grad.is_sparse
    assert (history.losses[-4:].mean(0) < history.losses[:4].mean(0)).all()


def test_sparse_updates_can_be_taken_back(mixed_table, mixed_tasks):
    table = mixed_table()
    model = sparse_updates(new_model(table, mixed_tasks, sparse=True), False)
    fit(model, table, mixed_tasks, epochs=1, **KNOBS)
    assert not embeddings(model).grad.is_sparse


def test_a_run_with_sparse_updates_is_not_continued_without_them(mixed_table, mixed_tasks, tmp_path):
    table = mixed_table()
    for sparse in (True, False):
        path = tmp_path / f"{sparse}.safetensors"
        fit(new_model(table, mixed_tasks, sparse), table, mixed_tasks, epochs=1, checkpoint=path, **KNOBS)
        with pytest.raises(CheckpointError, match="sparse updates was"):
            fit(new_model(table, mixed_tasks, not sparse), table, mixed_tasks, epochs=1, checkpoint=path, **KNOBS)


def test_a_balancer_works_on_the_representation(mixed_table, mixed_tasks):
    table = mixed_table()
    model = new_model(table, mixed_tasks, sparse=True)
    fit(model, table, mixed_tasks, PCGrad(at="representation"), epochs=1, **KNOBS)
    assert embeddings(model).grad.is_sparse


def test_a_balancer_on_the_parameters_says_that_it_cannot(mixed_table, mixed_tasks):
    table = mixed_table()
    with pytest.raises(ValueError, match="sparse and cannot be compared: use at='representation'"):
        fit(new_model(table, mixed_tasks, sparse=True), table, mixed_tasks, PCGrad(), epochs=1, **KNOBS)


def test_a_stack_says_that_it_cannot(mixed_table, mixed_tasks):
    schema = mixed_table().schema
    with pytest.raises(ValueError, match=r"updates its embedding tables whole.*or take it back"):
        Stacked([sparse_updates(MMoE(schema, mixed_tasks)) for _ in range(2)])
    with pytest.raises(ValueError, match="updates its embedding tables whole: train the repeats one by one"):
        sparse_updates(Stacked([MMoE(schema, mixed_tasks) for _ in range(2)]))
