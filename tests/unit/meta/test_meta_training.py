import pytest
import torch

from mtl_tutorial.layers.task_mlp import TaskMLP
from mtl_tutorial.meta.episodes import Episodes
from mtl_tutorial.meta.fine_tuning import FineTuning
from mtl_tutorial.meta.losses import squared_error
from mtl_tutorial.meta.maml import MAML
from mtl_tutorial.meta.meta_sgd import MetaSGD
from mtl_tutorial.meta.meta_training import meta_fit
from mtl_tutorial.meta.reptile import Reptile
from mtl_tutorial.meta.sinusoids import draw_sinusoids
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.training_state import NonFiniteLoss


def sinusoids(tasks=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return draw_sinusoids(tasks, generator).episodes(10, 10, generator)


def batches(tasks=10, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return lambda step: draw_sinusoids(tasks, generator).episodes(10, 10, generator)


def model(seed=0, widths=(20,)):
    torch.manual_seed(seed)
    return TaskMLP(1, widths, 1)


@pytest.mark.parametrize("method", [MAML, MetaSGD, Reptile])
def test_learning_to_adapt_lowers_the_loss_after_adaptation(method):
    learner = method(model(widths=(20, 20)), squared_error, 0.02, 3)
    held_out = sinusoids(100)
    before = learner.adapted_loss(held_out).mean()
    history = meta_fit(learner, batches(25), steps=150, lr=5e-3)
    assert learner.adapted_loss(held_out).mean() < 0.7 * before
    assert history.losses.shape == (150, 1)
    assert not learner.training


def test_fine_tuning_trains_the_model_that_is_best_before_adaptation():
    held_out = sinusoids(200)
    pooled = FineTuning(model(), squared_error, 0.02, 3)
    maml = MAML(model(), squared_error, 0.02, 3)
    for learner in (pooled, maml):
        meta_fit(learner, batches(25), steps=150, lr=5e-3)
    of_pooled, of_maml = (learner.trajectory(held_out, 3).mean(1) for learner in (pooled, maml))
    assert of_pooled[0] < of_maml[0]
    assert of_pooled[3] > of_maml[3]


def test_the_best_weights_on_validation_are_kept():
    learner = MAML(model(), squared_error, 0.02, 1)
    history = meta_fit(learner, batches(), steps=40, lr=0.3, validation=sinusoids(50), evaluate_every=3)
    found = torch.cat([value for _, value in history.validation])
    assert [step for step, _ in history.validation] == [*range(3, 40, 3), 40]
    assert found.argmin() < len(found) - 1, "at this rate the last weights should not be the best"
    torch.testing.assert_close(learner.adapted_loss(sinusoids(50)).mean(), found.min())


def test_every_repeat_keeps_its_own_best_and_learns_as_it_would_alone():
    models = [model(seed) for seed in range(3)]
    draws, looks = [batches(seed=seed) for seed in range(3)], sinusoids(20)
    together = MAML(Stacked(models), squared_error, 0.02, 1)
    history = meta_fit(together, lambda step: Episodes.join([draw(step) for draw in draws]), steps=30, lr=0.1,
                       validation=Episodes.join([looks] * 3), evaluate_every=3)
    assert len({int(column.argmin()) for column in torch.stack([v for _, v in history.validation]).T}) > 1
    for r in range(3):
        alone = MAML(models[r], squared_error, 0.02, 1)
        own = meta_fit(alone, batches(seed=r), steps=30, lr=0.1, validation=looks, evaluate_every=3)
        torch.testing.assert_close(history.losses[:, r], own.losses[:, 0], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(together.model.named_weights["head.weight"][r], models[r].head.weight,
                                   rtol=1e-2, atol=1e-3)


def test_a_diverging_loss_is_refused():
    learner = MAML(model(), squared_error, 1e6, 5)
    with pytest.raises(NonFiniteLoss, match=r"step 0: the training loss of repeat 0 is (nan|inf).*smaller inner"):
        meta_fit(learner, batches(), steps=3)


def test_the_repeat_and_the_step_of_a_diverging_loss_are_named():
    poisoned = batches(20)

    def draw(step):
        episodes = poisoned(step)
        if step == 4:
            episodes.query_y[13] = torch.nan
        return episodes

    learner = MAML(Stacked([model(0), model(1)]), squared_error, 0.01, 1)
    with pytest.raises(NonFiniteLoss, match="step 4: the training loss of repeat 1 is nan"):
        meta_fit(learner, draw, steps=10)


def test_episodes_of_wrong_shape_and_no_steps_are_refused():
    learner = MAML(model(), squared_error)
    with pytest.raises(ValueError, match="support_x has shape"):
        meta_fit(learner, lambda step: sinusoids()._replace(support_x=torch.zeros(10, 9, 1)), steps=1)
    with pytest.raises(ValueError, match="support_x has 10 tasks, query_x 9"):
        meta_fit(learner, batches(), steps=1, validation=sinusoids()._replace(query_x=torch.zeros(9, 10, 1),
                                                                              query_y=torch.zeros(9, 10, 1)))
    with pytest.raises(ValueError, match="steps=0"):
        meta_fit(learner, batches(), steps=0)
