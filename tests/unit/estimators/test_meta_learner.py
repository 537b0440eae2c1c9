import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from mtl_tutorial.estimators.meta_learner import ALGORITHMS, MetaLearner
from mtl_tutorial.meta.episodes import Episodes
from mtl_tutorial.meta.sinusoids import draw_sinusoids

CLASSES = np.array(["buy", "leave"])


def make_tasks(number, seed, rows=(30, 40)):
    """Tasks in which another of two features tells the classes apart, in one direction or the other."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        x = draw.normal(size=(draw.integers(*rows), 2)) * [10, 0.1] + [100, 0]
        signal = (x - [100, 0])[:, draw.integers(2)] * draw.choice([-1, 1])
        found.append((x, CLASSES[(signal > np.median(signal)).astype(int)]))
    return found


@pytest.fixture(scope="module")
def learned():
    return {algorithm: MetaLearner(algorithm=algorithm, inner_lr=0.3, steps=150, lr=1e-2, random_state=0,
                                   inner_steps=3).learn(make_tasks(60, 0)) for algorithm in ALGORITHMS}


def new_task(seed, support=12):
    [(x, y)] = make_tasks(1, seed, rows=(200, 201))
    return x[support:], y[support:], (x[:support], y[:support])


@pytest.mark.parametrize("algorithm", ["maml", "first_order_maml", "anil", "meta_sgd", "reptile", "proto_net"])
def test_it_learns_a_new_task_from_its_support(learned, algorithm):
    scores = [learned[algorithm].score(*new_task(seed)) for seed in range(100, 120)]
    assert np.mean(scores) > 0.75


def test_without_learning_to_learn_the_support_is_of_little_use(learned):
    scores = {name: np.mean([learned[name].score(*new_task(seed)) for seed in range(100, 120)])
              for name in ("maml", "fine_tuning")}
    assert scores["fine_tuning"] < scores["maml"] - 0.1


def test_it_predicts_labels_and_probabilities_that_agree(learned):
    x, _, support = new_task(1)
    chances, labels = learned["maml"].predict_proba(x, support), learned["maml"].predict(x, support=support)
    assert learned["maml"].classes_.tolist() == CLASSES.tolist()
    assert chances.shape == (len(x), 2)
    np.testing.assert_allclose(chances.sum(1), 1, rtol=1e-6)
    assert (labels == CLASSES[chances.argmax(1)]).all()


def test_labels_the_other_way_round_turn_the_prediction_round(learned):
    x, y, (support_x, support_y) = new_task(3)
    other_way = np.where(support_y == "buy", "leave", "buy")
    as_it_is, turned = (learned["maml"].score(x, y, (support_x, labels)) for labels in (support_y, other_way))
    assert as_it_is > 0.7
    assert turned < 0.3


def test_any_module_will_do_and_stays_as_it_was():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 16), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, 2))
    before = module[0].weight.detach().clone()
    model = MetaLearner(module, inner_lr=0.3, steps=150, lr=1e-2, random_state=0).learn(make_tasks(60, 0))
    assert np.mean([model.score(*new_task(seed)) for seed in range(100, 110)]) > 0.75
    assert torch.equal(module[0].weight, before)
    assert not torch.equal(model.model_[0].weight, before)


def test_regression_learns_sinusoids_from_episodes():
    generator = torch.Generator().manual_seed(0)
    tasks = draw_sinusoids(400, generator).episodes(10, 10, generator)
    model = MetaLearner(kind="regression", inner_lr=0.02, inner_steps=5, steps=800, random_state=0).learn(tasks)
    scores = []
    for _ in range(20):
        wave = draw_sinusoids(1, generator)._replace(amplitude=torch.tensor([3.0])).episodes(10, 50, generator)
        support, query = ((x[0].numpy(), y[0, :, 0].numpy()) for x, y, _ in (wave.support, wave.query))
        scores.append(model.score(*query, support))
    assert np.mean(scores) > 0.6
    assert model.predict(query[0], support).shape == (50,)
    with pytest.raises(AttributeError, match="this is a regression"):
        model.predict_proba(query[0], support)


def test_the_same_seed_gives_the_same_predictions_and_leaves_global_randomness_alone():
    tasks, (x, _, support) = make_tasks(10, 0), new_task(1)
    state = torch.get_rng_state()
    found = [MetaLearner(steps=5, random_state=seed).learn(tasks).predict_proba(x, support) for seed in (4, 4, 5)]
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()
    assert torch.equal(torch.get_rng_state(), state)


def test_it_can_be_cloned_and_knows_when_it_has_not_learned():
    assert clone(MetaLearner(algorithm="anil", shots=3)).get_params()["shots"] == 3
    x, _, support = new_task(1)
    with pytest.raises(NotFittedError):
        MetaLearner().predict(x, support)


@pytest.mark.parametrize(("change", "message"), [
    (lambda x, y, sx, sy: (x, (sx[:, :1], sy)), r"support x has shape \(12, 1\); a row was learned with .*\(2,\)"),
    (lambda x, y, sx, sy: (x[:, 0], (sx, sy)), r"x has shape \(188,\)"),
    (lambda x, y, sx, sy: (x, (sx, sy[:-1])), r"support x has 12 rows, support y has shape \(11,\)"),
    (lambda x, y, sx, sy: (x, (sx[:0], sy[:0])), "at least one row"),
    (lambda x, y, sx, sy: (x, (sx, np.full(12, "buy"))), "the support set has no row of class 'leave'"),
    (lambda x, y, sx, sy: (x, (sx, np.where(sy == "buy", "rent", sy))),
     r"support y holds labels that no task was learned with: \['rent'\]"),
    (lambda x, y, sx, sy: (x * np.nan, (sx, sy)), "x holds NaN"),
    (lambda x, y, sx, sy: (x.astype(int), (sx, sy)), "x holds int64, but the first tasks held floating-point"),
    (lambda x, y, sx, sy: (x, (sx,)), r"support must be a pair \(x, y\) .* not tuple of 1"),
    (lambda x, y, sx, sy: (x, sx), "support must be a pair"),
])
def test_a_support_that_does_not_fit_is_refused(learned, change, message):
    x, y, support = new_task(1)
    x, support = change(x, y, *support)
    for algorithm in ("maml", "proto_net"):
        with pytest.raises(ValueError, match=message):
            learned[algorithm].predict(x, support)


@pytest.mark.parametrize(("settings", "tasks", "message"), [
    ({"algorithm": "adam"}, make_tasks(3, 0), "algorithm 'adam' is none of maml"),
    ({"kind": "binary"}, make_tasks(3, 0), "kind 'binary'"),
    ({"kind": "regression", "algorithm": "proto_net"}, make_tasks(3, 0), "no classes in a regression"),
    ({"shots": 0}, make_tasks(3, 0), "shots=0"),
    ({"tasks_per_step": 0}, make_tasks(3, 0), "tasks_per_step=0"),
    ({"module": nn.Linear(2, 1)}, make_tasks(3, 0), r"module maps rows \[10, 2\] to \[10, 1\], expected \[10, 2\]"),
    ({"module": nn.Linear(2, 3)}, make_tasks(3, 0), r"to \[10, 3\], expected \[10, 2\]"),
    ({"module": nn.Linear(4, 2)}, make_tasks(3, 0), r"module does not take rows torch.float32 \[10, 2\]"),
    ({"kind": "regression"}, [(np.zeros((9, 2)), np.full(9, np.nan))], "task 0: y holds NaN"),
    ({}, draw_sinusoids(3, torch.Generator()).episodes(2, 2, torch.Generator())._replace(support_x=torch.zeros(6)),
     r"support_x has shape \[6\]"),
    ({"shots": 30}, make_tasks(3, 0), r"task 0 has \d+ rows of class 'buy', fewer than shots=30"),
    ({"shots": 1}, [(np.zeros((2, 2)), CLASSES)] * 2, "its support would take all 2 rows"),
    ({}, [], "no tasks to learn from"),
    ({}, [(np.zeros((9, 2)), np.repeat("buy", 9))], "the one class"),
    ({}, [*make_tasks(1, 0), (np.zeros((9, 3)), np.resize(CLASSES, 9))], r"task 1: x has shape \(9, 3\)"),
    ({}, [(np.zeros((9, 2)), np.resize(CLASSES, 8))], r"task 0: x has shape \(9, 2\), y \(8,\)"),
    ({}, [(np.zeros((12, 3, 4)), np.resize(CLASSES, 12))], r"rows have shape \(3, 4\): give a module"),
])
def test_tasks_and_settings_that_do_not_fit_are_refused(settings, tasks, message):
    with pytest.raises(ValueError, match=message):
        MetaLearner(steps=1, **settings).learn(tasks)


def test_nan_in_a_regressions_support_is_refused():
    draw = np.random.default_rng(0)
    tasks = [(draw.normal(size=(9, 2)), draw.normal(size=9)) for _ in range(3)]
    model = MetaLearner(kind="regression", steps=1).learn(tasks)
    with pytest.raises(ValueError, match="support y holds NaN"):
        model.predict(tasks[0][0], (tasks[0][0], np.full(9, np.nan)))


def class_episodes(padded):
    """Tasks of two classes with features of deviation 3 around 5; padding of another size and another class."""
    generator = torch.Generator().manual_seed(0)
    x, y = 3 * torch.randn(8, 12, 2, generator=generator) + 5, torch.arange(12).expand(8, -1) % 2
    parts = [x[:, :6], y[:, :6], x[:, 6:] + 7, y[:, 6:]]
    if not padded:
        return Episodes(*parts)
    beyond = [torch.full_like(part[:, :2], 1000 if part.is_floating_point() else 4) for part in parts]
    counted = (torch.arange(8) < 6).expand(8, -1)
    return Episodes(*(torch.cat(pair, 1) for pair in zip(parts, beyond, strict=True)), counted, counted)


def test_padding_of_episodes_has_no_influence():
    x = np.random.default_rng(0).normal(size=(5, 2))
    support = x[:2], np.array([0, 1])
    plain, padded = (MetaLearner(steps=4, random_state=0).learn(class_episodes(padded)) for padded in (False, True))
    assert padded.classes_.tolist() == [0, 1]
    np.testing.assert_allclose(padded.predict_proba(x, support), plain.predict_proba(x, support), rtol=1e-5)


def test_query_rows_of_episodes_count_for_the_standardisation():
    tasks, seen = class_episodes(False), []

    class Watch(nn.Linear):
        def forward(self, x):
            seen.append(x.detach())
            return super().forward(x)

    MetaLearner(Watch(2, 4), "proto_net", steps=1, random_state=0, tasks_per_step=8).learn(tasks)
    support, query = seen[-2:]
    rows = torch.cat([support, query])
    torch.testing.assert_close(rows.mean(0), torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(rows.std(0, correction=0), torch.ones(2), rtol=0, atol=1e-5)


@pytest.mark.parametrize("bad", [[(np.zeros((9, 3)), np.resize(["a", "b"], 9))], []])
def test_learning_that_fails_leaves_what_was_learned(bad):
    x, _, support = new_task(1)
    model = MetaLearner(steps=3, shots=5, random_state=0).learn(make_tasks(5, 0))
    before = model.predict_proba(x, support)
    with pytest.raises(ValueError, match=r"fewer than shots=5|no tasks to learn from"):
        model.learn(bad)
    assert (model.predict_proba(x, support) == before).all()
    assert model.classes_.tolist() == CLASSES.tolist()


def after_training(**settings):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
    return MetaLearner(module, inner_lr=0.3, steps=3, random_state=0, **settings).learn(make_tasks(6, 0))


def test_first_order_maml_leaves_out_the_second_derivative():
    first, second = after_training(algorithm="first_order_maml"), after_training(algorithm="maml")
    assert first.losses_[0] == second.losses_[0]                        # the same start, adapted the same way
    assert not torch.allclose(first.model_[0].weight, second.model_[0].weight)


def test_head_says_what_adapts():
    losses = {head: after_training(algorithm="anil", head=head).losses_[0] for head in ("0", "2")}
    assert losses["0"] != losses["2"]
    with pytest.raises(ValueError, match="nothing to adapt"):
        after_training(algorithm="anil", head="head")


def test_tasks_per_step_is_the_number_of_tasks_in_a_step():
    rows = []

    class Watch(nn.Linear):
        def forward(self, x):
            rows.append(len(x))
            return super().forward(x)

    for tasks in (3, 7):
        MetaLearner(Watch(2, 4), "proto_net", steps=1, shots=2, tasks_per_step=tasks).learn(make_tasks(10, 0))
        assert rows[-2] == tasks * 2 * 2                                # support rows: two classes of two
