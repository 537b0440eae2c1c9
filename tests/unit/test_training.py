import pytest
import torch
from torch import nn

from mtl_tutorial.balancing.scalarizer import Scalarizer, StaticWeights, Sum
from mtl_tutorial.data.table import Table
from mtl_tutorial.evaluation import auc
from mtl_tutorial.inference import mean_losses, predict
from mtl_tutorial.models.mmoe import MMoE
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import NonFiniteLoss, fit

KNOBS = {"batch_size": 50, "lr": 0.01, "device": "cpu"}
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def new_model(table, tasks, seed=0):
    torch.manual_seed(seed)
    return SharedBottom(table.schema, tasks, widths=(16,))


def scripted(scores):
    """Return a monitor that gives these scores, one after the other."""
    remaining = iter(scores)
    return lambda model, validation: next(remaining)


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


# --- the loop ------------------------------------------------------------------------------------------------

def test_fit_is_adam_on_the_summed_losses_batch_by_batch(mixed_table, mixed_tasks):
    table = mixed_table(110)
    model, plain = new_model(table, mixed_tasks), new_model(table, mixed_tasks)
    history = fit(model, table, mixed_tasks, epochs=2, seed=3, weight_decay=0.01, **KNOBS)

    optimizer = torch.optim.Adam(plain.parameters(), lr=0.01, weight_decay=0.01)
    recorded = []
    for epoch in range(2):
        order = torch.randperm(110, generator=torch.Generator().manual_seed(3 * 1_000_003 + epoch))
        for index in order.split(50):
            optimizer.zero_grad()
            batch = table.take(index)
            outputs, observed = plain(batch.inputs), batch.masks["spend"]
            parts = torch.stack([
                nn.functional.binary_cross_entropy_with_logits(outputs["click"], batch.targets["click"]),
                nn.functional.cross_entropy(outputs["segment"], batch.targets["segment"]),
                nn.functional.mse_loss(outputs["spend"][observed], batch.targets["spend"][observed])])
            parts.sum().backward()
            optimizer.step()
            recorded.append(parts.detach())
    assert len(history.losses) == 6
    torch.testing.assert_close(history.losses, torch.stack(recorded), rtol=1e-4, atol=1e-5)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_same_seed_trains_to_the_same_bits_and_another_does_not(mixed_table, mixed_tasks):
    table = mixed_table()
    found = []
    for seed in (1, 1, 2):
        model = new_model(table, mixed_tasks)
        fit(model, table, mixed_tasks, seed=seed, **KNOBS)
        found.append(weights_of(model))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_fit_leaves_the_global_random_state_alone(mixed_table, mixed_tasks):
    table = mixed_table()
    model = new_model(table, mixed_tasks)
    before = torch.get_rng_state()
    fit(model, table, mixed_tasks, **KNOBS)
    assert torch.equal(before, torch.get_rng_state())


def test_model_is_left_in_evaluation_mode(mixed_table, mixed_tasks):
    table = mixed_table()
    model = new_model(table, mixed_tasks)
    fit(model, table, mixed_tasks, epochs=1, **KNOBS)
    assert not model.training


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_task_without_weight_is_not_learned(dtype, mixed_table, mixed_tasks):
    table = mixed_table(dtype=dtype)
    model = new_model(table, mixed_tasks).to(dtype)
    before = model.towers.weight.clone()
    fit(model, table, mixed_tasks, StaticWeights([1.0, 1.0, 0.0]), epochs=2, **KNOBS)
    changed = (model.towers.weight != before).any(1)
    assert changed.tolist() == [True] * 4 + [False]        # click, three segments; spend


def test_static_weights_are_not_negative():
    with pytest.raises(ValueError, match=r"weights \[1.0, -0.5\] must not be negative"):
        StaticWeights([1.0, -0.5])


class LearnedWeights(Scalarizer):
    """A balancer with a parameter, and a buffer that counts."""

    def __init__(self, tasks):
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(tasks))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, losses):
        self.seen += 1
        return (losses * (-self.log_variance).exp() + self.log_variance).sum(-1)


def test_parameters_of_a_balancer_are_trained_too(mixed_table, mixed_tasks):
    table, balance = mixed_table(), LearnedWeights(3)
    fit(new_model(table, mixed_tasks), table, mixed_tasks, balance, epochs=2, **KNOBS)
    assert (balance.log_variance != 0).all()
    assert balance.seen == 8


class Looker(Sum):
    """The plain sum, which notes the losses that each step led to."""

    def __init__(self, looks_back):
        super().__init__()
        self.looks_back, self.seen = looks_back, []

    def after_step(self, losses):
        assert not losses.requires_grad
        self.seen.append(losses.clone())


@pytest.mark.parametrize("repeats", [None, 2])
def test_balancer_that_looks_back_sees_the_losses_that_the_step_led_to(repeats, mixed_table, mixed_tasks):
    """With one batch per epoch they are the losses that the next step starts from."""
    table, balance = mixed_table(dtype=torch.float64), Looker(looks_back=True)
    model = new_model(table, mixed_tasks).double()
    if repeats:
        model, table = Stacked([model, new_model(table, mixed_tasks, 1).double()]), table.repeat(2)
    history = fit(model, table, mixed_tasks, balance, epochs=5, batch_size=200, lr=0.01, device="cpu")
    torch.testing.assert_close(torch.stack(balance.seen[:-1]).float(), history.losses[1:], rtol=1e-6, atol=1e-7)
    assert (torch.stack(balance.seen).float() != history.losses).all()


def test_looking_back_costs_one_forward_pass_per_step_and_changes_nothing_else(mixed_table, mixed_tasks):
    table, found, passes = mixed_table(), {}, {}
    for looks_back in (False, True):
        model, balance = new_model(table, mixed_tasks), Looker(looks_back)
        calls = []
        model.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        fit(model, table, mixed_tasks, balance, epochs=2, **KNOBS)
        found[looks_back], passes[looks_back] = weights_of(model), len(calls)
        assert len(balance.seen) == (8 if looks_back else 0)
    assert passes == {False: 8, True: 16}
    assert same(found[False], found[True])


# --- bfloat16 ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("model", [SharedBottom, MMoE])
def test_bfloat16_learns_what_float32_learns(model, mixed_table, mixed_tasks):
    train, test = mixed_table(1500), mixed_table(800, seed=1)
    found = {}
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        network = model(train.schema, mixed_tasks)
        history = fit(network, train, mixed_tasks, epochs=8, precision=precision, **KNOBS)
        assert history.losses.isfinite().all()
        assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
        found[precision] = predict(network, test, mixed_tasks)["click"]
    assert not torch.equal(found["bf16"], found["fp32"])
    labels = test.targets["click"]
    assert auc(labels, found["fp32"]) > 0.9
    assert auc(labels, found["bf16"]) == pytest.approx(auc(labels, found["fp32"]), abs=0.01)


def test_bfloat16_trains_a_stack(mixed_table, mixed_tasks):
    table = mixed_table()
    stacked = Stacked([new_model(table, mixed_tasks, seed) for seed in (0, 1)])
    history = fit(stacked, table.repeat(2), mixed_tasks, epochs=4, precision="bf16", **KNOBS)
    assert history.losses.isfinite().all()
    assert (history.losses[-4:].mean(0) < history.losses[:4].mean(0)).all()


# --- NaN -----------------------------------------------------------------------------------------------------

def with_nan(table, target, row):
    labels = table.targets[target].clone()
    labels[row] = float("nan")
    return table.with_targets({**table.targets, target: labels}, table.masks)


def step_of_row(row, rows, batch_size=50, seed=0):
    """Return the step, from 1, in whose batch the row comes in the first epoch."""
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed * 1_000_003))
    return (order == row).nonzero().item() // batch_size + 1


@pytest.mark.parametrize("row", [3, 77, 150])
def test_nan_stops_the_run_naming_task_and_step(row, mixed_table, mixed_tasks):
    table = with_nan(mixed_table(), "click", row)
    step = step_of_row(row, 200)
    with pytest.raises(NonFiniteLoss, match=rf"task 'click': loss is nan at step {step}; check this task's labels"):
        fit(new_model(table, mixed_tasks), table, mixed_tasks, **KNOBS)


def test_nan_in_a_stack_names_the_repeat(mixed_table, mixed_tasks):
    tables = [mixed_table(seed=seed) for seed in range(3)]
    tables[2] = with_nan(tables[2], "click", 0)
    stacked = Stacked([new_model(tables[0], mixed_tasks) for _ in tables])
    with pytest.raises(NonFiniteLoss, match=r"task 'click': loss is nan at step \d, repeat 2; check"):
        fit(stacked, Table.stack(tables), mixed_tasks, **KNOBS)


def test_diverging_loss_stops_the_run(mixed_table, mixed_tasks):
    table = mixed_table()
    with pytest.raises(NonFiniteLoss, match=r"task '\w+': loss is (inf|nan) at step 2; .*lower lr"):
        fit(new_model(table, mixed_tasks), table, mixed_tasks, epochs=20, **{**KNOBS, "lr": 1e15})


def test_nan_under_a_mask_is_found_in_the_weights(mixed_table, mixed_tasks):
    """A label that nobody observed leaves the loss finite and yet poisons the gradient."""
    table = mixed_table()
    hidden = (~table.mask("spend")).nonzero()[0].item()
    with pytest.raises(NonFiniteLoss, match=r"weights '.*' are not finite at step \d, though every loss was: check "
                                            "the labels that a mask hides"):
        fit(new_model(table, mixed_tasks), with_nan(table, "spend", hidden), mixed_tasks, epochs=1, batch_size=200,
            lr=0.01, device="cpu")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_single_weight_that_is_not_finite_is_found(value, mixed_table, mixed_tasks):
    table = mixed_table()
    table = Table(table.categorical, (5, 5), table.numeric, targets=table.targets, masks=table.masks)
    model = new_model(table, mixed_tasks)
    with torch.no_grad():
        model.encoder.embedding.table.weight[-1, 3] = value         # of an id that no row has
    with pytest.raises(NonFiniteLoss, match=r"weights 'encoder\.embedding\.table\.weight' are not finite"):
        fit(model, table, mixed_tasks, epochs=1, **KNOBS)


def test_a_parameter_without_entries_is_no_trouble(mixed_table, mixed_tasks):
    table = mixed_table()
    model = new_model(table, mixed_tasks)
    model.nothing = nn.Parameter(torch.empty(0, 4))
    fit(model, table, mixed_tasks, epochs=1, **KNOBS)


def test_nan_is_not_passed_over_when_patience_runs_out_first(mixed_table, mixed_tasks):
    table = with_nan(mixed_table(), "click", 0)
    with pytest.raises(NonFiniteLoss, match="task 'click'"):
        fit(new_model(table, mixed_tasks), table, mixed_tasks, validation=mixed_table(20, seed=1), evaluate_every=1,
            patience=1, **KNOBS)


def test_score_that_is_not_a_number_is_refused(mixed_table, mixed_tasks):
    table = mixed_table()
    with pytest.raises(NonFiniteLoss, match="validation score is nan at step 4; do the validation rows"):
        fit(new_model(table, mixed_tasks), table, mixed_tasks, validation=table,
            monitor=lambda model, rows: float("nan"), **KNOBS)


# --- early stopping ------------------------------------------------------------------------------------------

def test_early_stopping_restores_the_weights_of_the_best_score(mixed_table, mixed_tasks):
    table = mixed_table()
    model, seen = new_model(table, mixed_tasks), []
    scores = scripted([0.1, 0.5, 0.9, 0.3, 0.8])

    def monitor(network, rows):
        seen.append(weights_of(network))
        return scores(network, rows)

    history = fit(model, table, mixed_tasks, epochs=5, validation=table, monitor=monitor, **KNOBS)
    assert history.best_step == 12
    assert [step for step, _ in history.scores] == [4, 8, 12, 16, 20]
    assert same(weights_of(model), seen[2])
    assert not same(seen[2], seen[4])


@pytest.mark.parametrize(("patience", "steps", "best"), [(1, 6, 4), (2, 12, 8), (3, 14, 8)])
def test_patience_counts_evaluations_in_a_row_without_a_new_best(patience, steps, best, mixed_table, mixed_tasks):
    table = mixed_table()
    monitor = scripted([0.1, 0.5, 0.4, 0.6, 0.5, 0.6, 0.5, 0.7])       # after steps 2, 4, …, 16; a tie is no best
    history = fit(new_model(table, mixed_tasks), table, mixed_tasks, epochs=4, validation=table, monitor=monitor,
                  evaluate_every=2, patience=patience, **KNOBS)
    assert len(history.losses) == steps
    assert history.best_step == best


def test_early_stopping_watches_the_validation_loss_unless_told_otherwise(mixed_table, mixed_tasks):
    train, validation = mixed_table(60), mixed_table(200, seed=1)
    model = new_model(train, mixed_tasks)
    history = fit(model, train, mixed_tasks, epochs=60, validation=validation, **{**KNOBS, "lr": 0.05})
    best = max(score.item() for _, score in history.scores)
    assert -mean_losses(model, validation, mixed_tasks).sum().item() == pytest.approx(best)
    assert history.best_step < len(history.losses)


# --- refusals ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("knobs", "message"), [
    ({"precision": "fp16"}, "precision 'fp16' is neither 'fp32' nor 'bf16'"),
    ({"patience": 3}, "patience needs validation rows to judge by"),
])
def test_impossible_wishes_are_refused(knobs, message, mixed_table, mixed_tasks):
    table = mixed_table(20)
    with pytest.raises(ValueError, match=message):
        fit(new_model(table, mixed_tasks), table, mixed_tasks, **KNOBS, **knobs)


def test_patience_is_at_least_one_evaluation(mixed_table, mixed_tasks):
    table = mixed_table(20)
    with pytest.raises(ValueError, match="patience=0 must be at least 1 evaluation"):
        fit(new_model(table, mixed_tasks), table, mixed_tasks, validation=table, patience=0, **KNOBS)


def test_a_stack_wants_a_table_with_as_many_repeats(mixed_table, mixed_tasks):
    table = mixed_table(20)
    model = new_model(table, mixed_tasks)
    with pytest.raises(ValueError, match="the model has repeats=2, the table repeats=None: use Table"):
        fit(Stacked([model, model]), table, mixed_tasks, **KNOBS)
    with pytest.raises(ValueError, match="the model has repeats=None, the table repeats=3"):
        fit(model, table.repeat(3), mixed_tasks, **KNOBS)


def test_target_that_the_table_does_not_hold_is_named(mixed_table, mixed_tasks):
    table = mixed_table(20)
    with pytest.raises(KeyError, match="the table holds no target 'cart'; it holds click, segment, spend"):
        fit(new_model(table, mixed_tasks), table, [Task("cart")], **KNOBS)


def test_sum_is_the_balance_unless_told_otherwise():
    assert Sum()(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist() == [3.0, 7.0]


# --- accelerators --------------------------------------------------------------------------------------------

@gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("repeats", [None, 3])
def test_cuda_learns_what_the_cpu_learns(repeats, precision, mixed_table, mixed_tasks):
    train, test = mixed_table(1500), mixed_table(800, seed=1)
    found = {}
    for device in ("cpu", "cuda"):
        model, table, rows = new_model(train, mixed_tasks), train, test
        if repeats:
            model, table, rows = Stacked([model] * repeats), train.repeat(repeats), test.repeat(repeats)
        history = fit(model, table, mixed_tasks, epochs=8, precision=precision, **{**KNOBS, "device": device})
        assert history.losses.device.type == device
        assert history.losses.isfinite().all()
        scores = predict(model, rows, mixed_tasks)["click"]
        assert scores.device.type == "cpu"
        found[device] = auc(test.targets["click"], scores if repeats is None else scores[-1])
    assert found["cuda"] == pytest.approx(found["cpu"], abs=0.01)
