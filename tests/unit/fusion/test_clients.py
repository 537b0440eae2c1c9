import pytest
import torch

from mtl_tutorial.fusion.clients import Clients, pooled
from mtl_tutorial.fusion.local_training import copies_for_clients
from mtl_tutorial.tasks import losses


def test_clients_keep_their_rows_and_the_copies_that_fill_them_up_have_no_label(federation):
    groups, clients = federation
    assert clients.rows.tolist() == [[20, 7, 12]] * 2
    assert (clients.groups, clients.each, len(clients.table)) == (2, 3, 20)
    for place, table in enumerate([table for group in groups for table in group]):
        observed = clients.table.mask("click")[place]
        assert observed.sum() == len(table)
        assert torch.equal(clients.table.numeric[place][observed], table.numeric)
        own = {tuple(row.tolist()) for row in table.numeric}
        assert {tuple(row.tolist()) for row in clients.table.numeric[place]} == own


def test_labels_that_a_client_never_observed_stay_masked(merchant_rows):
    table = merchant_rows(6, 0)
    table = table.with_targets(table.targets, {"click": torch.tensor([True, False] * 3)})
    clients = Clients.of([[table, merchant_rows(9, 1)]])
    assert clients.table.mask("click")[0].tolist() == [True, False] * 3 + [False] * 3


def test_a_batch_holds_every_clients_own_observed_rows_alike_often(federation):
    groups, clients = federation
    batch = clients.batch(6_000, torch.Generator().manual_seed(0))
    assert batch.mask("click").all()
    for place, table in enumerate([table for group in groups for table in group]):
        found = (batch.numeric[place][:, None] == table.numeric).all(-1)                # [6000, rows]
        assert found.any(1).all()
        share = found.double().mean(0)
        assert (share - 1 / len(table)).abs().max() < 4.5 * (1 / len(table) / 6_000) ** 0.5


def test_no_size_means_all_rows(federation):
    _, clients = federation
    assert clients.batch(None, torch.Generator()) is clients.table


def test_the_pool_holds_every_row_of_its_group_once(federation):
    groups, _ = federation
    pool = pooled(groups)
    assert pool.rows.tolist() == [[39], [39]]
    assert torch.equal(pool.table.numeric[1], torch.cat([table.numeric for table in groups[1]]))
    assert torch.equal(pool.table.categorical[0], torch.cat([table.categorical for table in groups[0]]))
    assert pool.table.mask("click").all()


def test_the_loss_of_the_pool_is_the_clients_losses_counted_by_rows(federation, common_model, click):
    groups, clients = federation
    model, pool = common_model(groups[0][0], 2), pooled(groups)
    together = losses(click, model(pool.table.inputs), pool.table)                      # [2, 1]
    local = copies_for_clients(model, 3)
    each = losses(click, local(clients.table.inputs), clients.table).view(2, 3)
    torch.testing.assert_close((each * clients.rows).sum(1) / 39, together[:, 0])


def test_a_table_of_no_rows_no_clients_and_uneven_groups_are_refused(merchant_rows):
    table = merchant_rows(5, 0)
    with pytest.raises(ValueError, match="no clients"):
        Clients.of([])
    with pytest.raises(ValueError, match="no clients"):
        Clients.of([[], []])
    with pytest.raises(ValueError, match=r"groups have \[1, 2\] clients"):
        Clients.of([[table], [table, table]])
    with pytest.raises(ValueError, match="client 1 of group 0 has 0 rows"):
        Clients.of([[table, table.take(slice(0, 0))]])
