import torch
from torch.nn import functional as F

from mtl_tutorial.meta.losses import cross_entropy, mean_over_rows
from mtl_tutorial.meta.weights import initial_weights, spread, task_call
from mtl_tutorial.models.shelf_choice import ShelfChoice


def shelves(seed=0, tasks=3, purchases=2, places=4, features=5):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(tasks, purchases, places, features, generator=draw, dtype=torch.float64)
    x[..., 0] = 1
    x[..., -1, :] = 0                                                                   # the last place is empty
    return x


def test_empty_place_is_never_taken():
    model = ShelfChoice(5, (6,)).double()
    p = model(shelves()).softmax(-1)
    assert p[..., -1].abs().max() == 0
    assert p[..., :-1].min() > 0


def test_brands_compete_only_through_the_softmax():
    model, x = ShelfChoice(5, (6,)).double(), shelves()
    order = torch.tensor([2, 0, 1, 3])
    assert model(x[..., order, :]).allclose(model(x)[..., order], atol=1e-12)


def test_batched_form_computes_each_task_by_its_own_weights():
    models, x = [ShelfChoice(5, (6, 4)).double() for _ in range(3)], shelves()
    weights = {name: torch.stack([dict(model.named_parameters())[name] for model in models])
               for name in initial_weights(models[0])}
    together = task_call(models[0], weights, x)
    for task, model in enumerate(models):
        assert together[task].allclose(model(x[task]), atol=1e-12)


def test_purchases_that_are_padding_leave_the_gradient_finite_twice():
    model, x = ShelfChoice(5, (6,)).double(), shelves()
    x[0, 1] = 0                                                                         # a shelf without any brand
    mask = torch.ones(3, 2, dtype=torch.bool)
    mask[0, 1] = False
    weights = {name: value.requires_grad_() for name, value in spread(initial_weights(model), 3, None).items()}
    loss = mean_over_rows(cross_entropy(task_call(model, weights, x), torch.zeros(3, 2, dtype=torch.long)), mask)
    first = torch.autograd.grad(loss.sum(), list(weights.values()), create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), list(model.parameters()))
    assert all(g.isfinite().all() for g in (*first, *second))
    alone = F.cross_entropy(model(x[0, :1]), torch.zeros(1, dtype=torch.long))
    assert loss[0].allclose(alone, atol=1e-12)
