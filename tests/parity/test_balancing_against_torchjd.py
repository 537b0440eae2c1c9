"""Balancing against torchjd (and MGDA against a solver of scipy), in float64."""

import pytest
import torch
from scipy.optimize import minimize
from torchjd import aggregation, scalarization
from torchjd.autojac import jac_to_grad, mtl_backward
from torchjd.linalg import QuadprogProjector

from mtl_tutorial.balancing import two_task
from mtl_tutorial.balancing.cagrad import CAGrad
from mtl_tutorial.balancing.dwa import DWA
from mtl_tutorial.balancing.famo import FAMO
from mtl_tutorial.balancing.from_torchjd import FromTorchJD
from mtl_tutorial.balancing.mgda import MGDA
from mtl_tutorial.balancing.pcgrad import PCGrad
from mtl_tutorial.balancing.uncertainty_weighting import UncertaintyWeighting
from mtl_tutorial.data.table import Table
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.tasks import Task, losses

TASKS = [Task(name, "regression") for name in ("first", "second", "third")]
STEPS = 10


def new_model(table):
    torch.manual_seed(0)
    return SharedBottom(table.schema, TASKS, widths=(16, 8)).double()


@pytest.fixture
def batches():
    """One batch per step, of three regressions that learn at different speeds."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(STEPS):
        x = torch.randn(40, 5, generator=generator, dtype=torch.float64)
        found.append(Table.from_features(x, targets={"first": x[:, 0], "second": 3 * x[:, 1] * x[:, 2] + 1,
                                                     "third": 0.2 * x[:, 3].sin()}))
    return found


def assert_close(found, expected, tolerance=1e-6):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def assert_same_parameters(model, peer):
    for (name, parameter), other in zip(model.named_parameters(), peer.parameters(), strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-6, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}")


# --- weights on losses: ten steps of training ----------------------------------------------------------------

class Training:
    """Ten steps of plain gradient descent with a method of ours, beside the same steps with torchjd's."""

    def __init__(self, batches, ours, theirs, lr=0.1):
        self.model, self.peer = new_model(batches[0]), new_model(batches[0])
        self.ours, self.theirs = ours.double(), theirs
        mine, other = ([*part.parameters(), *method.parameters()]
                       for part, method in ((self.model, self.ours), (self.peer, self.theirs)))
        if isinstance(theirs, scalarization.FAMO):
            other = list(self.peer.parameters())        # it steps its logits itself
        self.optimizers = torch.optim.SGD(mine, lr), torch.optim.SGD(other, lr)
        self.batches = batches

    def __iter__(self):
        """Yield (step, batch, losses of ours, losses of theirs), both steps taken."""
        for step, batch in enumerate(self.batches):
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            mine = self.ours.backward(self.model, TASKS, batch)
            theirs = losses(TASKS, self.peer(batch.inputs), batch)
            self.theirs(theirs).backward()
            for optimizer in self.optimizers:
                optimizer.step()
            assert_close(mine, theirs.detach())
            yield step, batch
        assert_same_parameters(self.model, self.peer)
        start = new_model(self.batches[0])
        moved = sum((p - q).norm() for p, q in zip(self.model.parameters(), start.parameters(), strict=True))
        assert moved > 0.02


def weights_on(method, values):
    """Return d objective / d losses: the weights that a method would give now."""
    values = values.clone().requires_grad_()
    return torch.autograd.grad(method(values), values)[0]


def test_uncertainty_weighting_of_regressions(batches):
    training = Training(batches, UncertaintyWeighting(TASKS), scalarization.UW(3).double())
    for _ in training:
        assert_close(training.ours.log_variances.detach(), training.theirs.log_var.detach())
    assert training.ours.log_variances.abs().min() > 1e-3


def test_dwa(batches):
    training = Training(batches, DWA(TASKS, period=2, temperature=0.5), scalarization.DWA(0.5), lr=0.02)
    seen = []
    for step, _ in training:
        if (step + 1) % 2 == 0:
            training.theirs.step()
            ours = DWA(TASKS, period=2, temperature=0.5).double()
            ours.load_state_dict(training.ours.state_dict())
            ones = torch.ones(3, dtype=torch.float64)
            seen.append(weights_on(ours, ones))     # of a copy, which counts the ones in
            assert_close(seen[-1], training.theirs._compute_weights(ones))
    assert (seen[-1] - 1).abs().max() > 0.01


@pytest.mark.parametrize("bounds", [None, [-0.5, 0.0, -2.0]])
@pytest.mark.parametrize("decay", [1e-3, 1e-5])
def test_famo(batches, bounds, decay):
    theirs = scalarization.FAMO(3, torch.tensor(bounds, dtype=torch.float64) if bounds else None,
                                weight_decay=decay).double()
    training = Training(batches, FAMO(TASKS, bounds, decay=decay), theirs)
    for _, batch in training:
        with torch.no_grad():
            training.ours.after_step(losses(TASKS, training.model(batch.inputs), batch))
            theirs.update(losses(TASKS, training.peer(batch.inputs), batch))
        assert_close(training.ours.logits, theirs._w.detach())
    assert training.ours.logits.abs().max() > 0.05


# --- weights on gradients ------------------------------------------------------------------------------------

def draw(problems, tasks, size=20, spread=1.0, seed=0):
    """Draw gradients [problems, K, P] whose lengths differ by up to 10 ** spread."""
    generator = torch.Generator().manual_seed(seed)
    gradients = torch.randn(problems, tasks, size, generator=generator, dtype=torch.float64)
    return gradients * 10 ** (spread * torch.rand(problems, tasks, 1, generator=generator, dtype=torch.float64))


def gramian_of(gradients):
    return gradients @ gradients.mT


def combine(weights, gradients):
    return (weights.unsqueeze(-1) * gradients).sum(-2)


def theirs_on(method, gradients):
    return torch.stack([method(matrix) for matrix in gradients])


def assert_same_direction(found, expected, tolerance):
    unit, other = (d / d.norm(dim=-1, keepdim=True) for d in (found, expected))
    torch.testing.assert_close(unit, other, rtol=0, atol=tolerance)


def test_pcgrad_of_two_tasks():
    gradients = draw(100, 2)
    assert_close(combine(PCGrad().weights(gramian_of(gradients)), gradients),
                 theirs_on(aggregation.PCGrad(), gradients), 1e-6)


@pytest.mark.parametrize("tasks", [3, 5])
def test_pcgrad_in_the_same_order(tasks, monkeypatch):
    gradients = draw(50, tasks, size=6)
    orders = torch.rand(50, tasks, tasks, generator=torch.Generator().manual_seed(1)).argsort(-1)
    rows = iter(orders.reshape(-1, tasks))
    monkeypatch.setattr(torch, "randperm", lambda count: next(rows))
    expected = theirs_on(aggregation.PCGrad(), gradients)
    found = combine(PCGrad().weights(gramian_of(gradients), orders), gradients)
    assert_close(found, expected, 1e-6)
    other = combine(PCGrad().weights(gramian_of(gradients), orders.flip(-1)), gradients)
    assert (other - found).norm(dim=-1).max() > 0.01


@pytest.mark.parametrize("size", [2, 20])
def test_mgda_of_two_tasks(size):
    gradients = draw(100, 2, size)
    assert_close(combine(MGDA().weights(gramian_of(gradients)), gradients),
                 theirs_on(aggregation.MGDA(), gradients), 1e-5)


def shortest_by_slsqp(gradients):
    """Return min ‖Σ w_k g_k‖ over the simplex, in units of the largest gradient: the best of several starts."""
    unit = (gradients / gradients.norm(dim=-1).max()).numpy()
    tasks = len(unit)
    starts = torch.cat([torch.full((1, tasks), 1 / tasks), 0.9 * torch.eye(tasks) + 0.1 / tasks]).double().numpy()
    found = [minimize(lambda w: 1e3 * ((w @ unit) ** 2).sum(), start, jac=lambda w: 2e3 * unit @ (w @ unit),
                      bounds=[(0, 1)] * tasks, constraints={"type": "eq", "fun": lambda w: w.sum() - 1,
                                                           "jac": lambda w: w * 0 + 1},
                      method="SLSQP", options={"ftol": 1e-16, "maxiter": 1000}).x for start in starts]
    found = [w.clip(0) / w.clip(0).sum() for w in found]
    return min(float(((w @ unit) ** 2).sum() ** 0.5) for w in found)


@pytest.mark.parametrize("tasks", [3, 5, 8])
@pytest.mark.parametrize(("size", "spread"), [(40, 1.0), (2, 1.0), (40, 4.0), (2, 4.0)],
                         ids=["plain", "rank-deficient", "badly scaled", "both"])
def test_mgda_against_slsqp(tasks, size, spread):
    gradients = draw(10, tasks, size, spread, seed=tasks)
    if size == 2:
        gradients = gradients @ torch.randn(2, 40, dtype=torch.float64,
                                            generator=torch.Generator().manual_seed(0))
    weights = MGDA().weights(gramian_of(gradients))
    assert weights.min() >= 0
    lengths = combine(weights, gradients).norm(dim=-1) / gradients.norm(dim=-1).amax(-1)
    expected = torch.tensor([shortest_by_slsqp(matrix) for matrix in gradients], dtype=torch.float64)
    torch.testing.assert_close(lengths, expected, rtol=0, atol=1e-6)


def primal(gradients, step):
    """Return what the task that gains least gains, min_k g_k · d."""
    return (gradients @ step.unsqueeze(-1)).squeeze(-1).amin(-1)


@pytest.mark.parametrize("tasks", [2, 3, 5])
@pytest.mark.parametrize("c", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_cagrad_reaches_the_same_objective(tasks, c, spread):
    gradients = draw(20, tasks, spread=spread)
    ours = CAGrad(c).weights(gramian_of(gradients))
    theirs = torch.stack([aggregation.CAGrad(c, norm_eps=1e-12).gramian_weighting(gramian)
                          for gramian in gramian_of(gradients)])
    mean = gradients.mean(1)
    radius = c * mean.norm(dim=-1)
    values = {}
    scale = gradients.norm(dim=-1).amax(-1) ** 2
    for name, weights in (("ours", ours), ("theirs", theirs)):
        simplex = weights - 1 / tasks
        simplex = simplex / simplex.sum(-1, keepdim=True)
        within = combine(simplex, gradients)
        dual = (within * mean).sum(-1) + radius * within.norm(dim=-1)
        values[name] = primal(gradients, combine(weights, gradients)) / scale, dual / scale
    for mine, other in zip(values["ours"], values["theirs"], strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-4)
    torch.testing.assert_close(*values["ours"], rtol=0, atol=1e-9)                      # no gap: the optimum


# --- closed forms for two tasks ------------------------------------------------------------------------------

PAIRS = torch.cat([draw(60, 2, size=3), draw(60, 2, size=3, spread=3.0, seed=1)])


def closed_form(form, gradients=PAIRS, **settings):
    gramian = gramian_of(gradients)
    return combine(form(gramian[:, 0, 0], gramian[:, 0, 1], gramian[:, 1, 1], **settings), gradients)


def test_some_pairs_conflict_and_some_do_not():
    conflict = gramian_of(PAIRS)[:, 0, 1] < 0
    assert 20 < conflict.sum() < 100


@pytest.mark.parametrize(("form", "general"), [
    (two_task.pcgrad, PCGrad()), (two_task.mgda, MGDA()), (two_task.cagrad, CAGrad(0.4))],
    ids=["PCGrad", "MGDA", "CAGrad"])
def test_closed_form_is_our_own_method(form, general):
    expected = combine(general.weights(gramian_of(PAIRS)), PAIRS)
    scale = PAIRS.norm(dim=-1).amax(-1, keepdim=True)
    torch.testing.assert_close(closed_form(form) / scale, expected / scale, rtol=1e-9, atol=1e-9)


def test_cagrad_of_another_radius():
    for radius in (0.0, 0.9, 1.0):
        expected = combine(CAGrad(radius).weights(gramian_of(PAIRS)), PAIRS)
        torch.testing.assert_close(closed_form(two_task.cagrad, radius=radius), expected, rtol=1e-9, atol=1e-9)


def test_imtl_g():
    assert_same_direction(closed_form(two_task.imtl_g), theirs_on(aggregation.IMTLG(), PAIRS), 1e-6)
    assert_close(closed_form(two_task.imtl_g), theirs_on(aggregation.IMTLG(), PAIRS))


def test_upgrad():
    exact = aggregation.UPGrad(projector=QuadprogProjector(norm_eps=1e-15, reg_eps=1e-13))
    assert_same_direction(closed_form(two_task.upgrad), theirs_on(exact, PAIRS), 1e-5)


def on_one_line(*factors):
    line = torch.tensor([0.3, -2.0, 1.1], dtype=torch.float64)
    return torch.stack([torch.stack([line, factor * line]) for factor in factors])


@pytest.mark.parametrize("gradients", [PAIRS, on_one_line(1.0, -1.0, 3.0, -0.2, 100.0, -100.0)],
                         ids=["pairs", "on one line"])
def test_aligned_mtl(gradients):
    found, expected = closed_form(two_task.aligned_mtl, gradients), theirs_on(aggregation.AlignedMTL(), gradients)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_nash_mtl():
    """Theirs is a sequence of convex problems, which for some pairs stops short of the bargaining solution."""
    pairs = draw(30, 2, size=3, spread=0.5)
    theirs = torch.stack([aggregation.NashMTL(n_tasks=2, max_norm=1.0, optim_niter=100)(pair) for pair in pairs])
    ours = closed_form(two_task.nash_mtl, pairs)
    torch.testing.assert_close(ours.norm(dim=-1), torch.ones(30, dtype=torch.float64))

    def bargain(step):
        return (pairs @ step.unsqueeze(-1)).squeeze(-1).clamp(min=1e-12).log().sum(-1)

    lost = bargain(ours) - bargain(theirs)      # both are of length 1, or theirs is shorter
    assert lost.min() > -1e-9
    solved = lost < 1e-6
    assert solved.sum() > 20
    torch.testing.assert_close(ours[solved], theirs[solved], rtol=0, atol=1e-5)


# --- torchjd behind our interface ----------------------------------------------------------------------------

GUESTS = {"UPGrad": aggregation.UPGrad, "IMTL-G": aggregation.IMTLG, "Aligned-MTL": aggregation.AlignedMTL,
          "MGDA": aggregation.MGDA, "CAGrad": lambda: aggregation.CAGrad(0.5), "Mean": aggregation.Mean}


@pytest.mark.parametrize("name", GUESTS)
@pytest.mark.parametrize("tasks", [2, 4])
def test_guest_gives_torchjds_direction_from_the_gramian_alone(name, tasks):
    gradients = draw(10, tasks)
    found = combine(FromTorchJD(GUESTS[name]()).weights(gramian_of(gradients)), gradients)
    assert_close(found, theirs_on(GUESTS[name](), gradients))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tasks", [2, 3])
def test_nash_mtl_as_a_guest_remembers_as_torchjds_does(tasks):
    gradients = draw(4, tasks)
    guest, alone = FromTorchJD(aggregation.NashMTL(n_tasks=tasks)), aggregation.NashMTL(n_tasks=tasks)
    for matrix in gradients:
        assert_close(guest.weights(gramian_of(matrix)) @ matrix, alone(matrix))


# --- a whole backward pass -----------------------------------------------------------------------------------

class InOrder(PCGrad):
    """Every task meets the others from first to last."""

    def weights(self, gramian, orders=None):
        return super().weights(gramian, torch.arange(gramian.shape[-1]).expand_as(gramian))


@pytest.mark.parametrize(("ours", "theirs"), [(InOrder(), aggregation.PCGrad()),
                                              (FromTorchJD(aggregation.UPGrad()), aggregation.UPGrad())],
                         ids=["PCGrad", "UPGrad"])
def test_training_by_gradients_is_torchjds_multi_task_backward(ours, theirs, batches, monkeypatch):
    monkeypatch.setattr(torch, "randperm", lambda count: torch.arange(count))
    model, peer = new_model(batches[0]), new_model(batches[0])
    optimizers = torch.optim.SGD(model.parameters(), 0.1), torch.optim.SGD(peer.parameters(), 0.1)
    shared = [*peer.encoder.parameters(), *peer.body.parameters()]
    for batch in batches:
        for optimizer in optimizers:
            optimizer.zero_grad()
        ours.backward(model, TASKS, batch)
        vector = peer.represent(batch.inputs)
        by_task = losses(TASKS, peer.read(vector), batch)
        mtl_backward(list(by_task), features=vector, retain_graph=True)
        jac_to_grad(shared, theirs)
        for optimizer in optimizers:
            optimizer.step()
        assert_same_parameters(model, peer)
