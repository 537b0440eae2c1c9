import pytest
import torch

from mtl_tutorial.layers.task_mlp import TaskMLP
from mtl_tutorial.meta.brand_intercepts import brand_intercepts
from mtl_tutorial.meta.episodes import Episodes
from mtl_tutorial.meta.fine_tuning import FineTuning
from mtl_tutorial.meta.losses import cross_entropy
from mtl_tutorial.meta.trials import after_steps, trial_losses, with_intercepts


@pytest.fixture
def learner():
    torch.manual_seed(0)
    return FineTuning(TaskMLP(4, (5,), 3).double(), cross_entropy, inner_lr=0.7)


@pytest.fixture
def tasks():
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(6, 5, 4, generator=draw, dtype=torch.float64), torch.randint(3, (6, 5), generator=draw)
    return Episodes(x[:, :3], y[:, :3], x[:, 3:], y[:, 3:], torch.arange(3) < torch.tensor([[1], [2], [3]] * 2),
                    torch.tensor([[True, True], [True, False], [True, True]] * 2))


def test_trials_are_the_rates_times_the_numbers_of_steps(learner, tasks):
    outputs = after_steps({0.1: learner, 0.5: learner}, [0, 1, 3])(tasks)
    assert outputs.shape == (6, 6, 2, 3)
    for number, (rate, steps) in enumerate([(0.1, 0), (0.1, 1), (0.1, 3), (0.5, 0), (0.5, 1), (0.5, 3)]):
        learner.inner_lr = rate
        expected = learner.predict(learner.adapt(*tasks.support, steps=steps), tasks.query_x)
        assert outputs[number].allclose(expected, atol=1e-12)


def test_trying_leaves_the_learner_as_it_was(learner, tasks):
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    outputs = after_steps({0.1: learner}, [2])(tasks)
    assert learner.inner_lr == 0.7
    assert not outputs.requires_grad
    assert all(value.equal(before[name]) for name, value in learner.model.state_dict().items())


def test_intercepts_are_added_to_what_the_model_says_anyway(learner, tasks):
    outputs = with_intercepts(learner, [0.3, 1e9])(tasks)
    plain = learner.model(tasks.query_x)
    own = brand_intercepts(learner.model(tasks.support_x), tasks.support_y, tasks.support_mask, 0.3)
    assert outputs[0].allclose(plain + own.unsqueeze(1), atol=1e-12)
    assert outputs[1].allclose(plain, atol=1e-6)                                # a prior that allows no difference


def test_loss_counts_the_query_rows_that_are_there(learner, tasks):
    outputs = after_steps({0.1: learner}, [0, 1])(tasks)
    losses = trial_losses(outputs, tasks, cross_entropy)
    assert losses.shape == (2, 6)
    rows = -outputs.log_softmax(-1).gather(-1, tasks.query_y.expand(2, -1, -1).unsqueeze(-1)).squeeze(-1)
    assert losses[:, 0].allclose(rows[:, 0].mean(-1), atol=1e-12)
    assert losses[:, 1].allclose(rows[:, 1, 0], atol=1e-12)
