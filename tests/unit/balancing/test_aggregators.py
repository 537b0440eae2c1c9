"""What every aggregator keeps, and what each promises: on dense gradients [K, P] in float64."""

import itertools

import pytest
import torch
from torch import nn
from torchjd.aggregation import IMTLG, AlignedMTL, NashMTL, UPGrad
from torchjd.linalg import QuadprogProjector

from mtl_tutorial.balancing.aggregator import Aggregator
from mtl_tutorial.balancing.cagrad import CAGrad
from mtl_tutorial.balancing.from_torchjd import FromTorchJD
from mtl_tutorial.balancing.infinity_norm import InfinityNormLimit
from mtl_tutorial.balancing.jacobian import Jacobian
from mtl_tutorial.balancing.mgda import MGDA, min_norm_weight
from mtl_tutorial.balancing.pcgrad import PCGrad, project_conflicting

AGGREGATORS = {
    "PCGrad": PCGrad, "MGDA": MGDA, "CAGrad 0.4": lambda: CAGrad(0.4), "CAGrad 1": lambda: CAGrad(1.0),
    "CAGrad 1.5": lambda: CAGrad(1.5), "infinity norm": lambda: InfinityNormLimit(1.0),
    "UPGrad": lambda: FromTorchJD(UPGrad(projector=QuadprogProjector(norm_eps=1e-300, reg_eps=1e-13))),
    "IMTL-G": lambda: FromTorchJD(IMTLG()), "Aligned-MTL": lambda: FromTorchJD(AlignedMTL()),
}
# of each, how exactly a solver or a pseudo-inverse leaves the direction, relative to the largest gradient
EXACT = {"PCGrad": 1e-12, "infinity norm": 1e-12, "MGDA": 1e-7, "CAGrad 0.4": 1e-7, "CAGrad 1": 1e-7,
         "CAGrad 1.5": 1e-7, "UPGrad": 1e-6, "IMTL-G": 1e-8, "Aligned-MTL": 1e-8}


def each(*left_out):
    return pytest.mark.parametrize("name", [name for name in AGGREGATORS if name not in left_out])


def draw(problems, tasks, size=20, seed=0):
    """Draw gradients [problems, K, P] that differ in length by up to ten and often conflict."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(problems, 1, size, generator=generator, dtype=torch.float64)
    own = torch.randn(problems, tasks, size, generator=generator, dtype=torch.float64)
    return (own + 0.3 * common) * 10 ** torch.rand(problems, tasks, 1, generator=generator, dtype=torch.float64)


def weights_of(aggregator, gradients):
    """Return the weights for gradients [K, P] or [R, K, P]."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return aggregator(Jacobian([[row] for row in gradients.unbind(-2)], stacked=gradients.dim() == 3))


def direction(aggregator, gradients):
    return (weights_of(aggregator, gradients).unsqueeze(-1) * gradients).sum(-2)


def lengths(gradients):
    return gradients.norm(dim=-1).amax(-1, keepdim=True)


def worst_gain(gradients, step):
    """Return min_k g_k · d over the largest ‖g_k‖ and the length of d."""
    gains = (gradients @ step.unsqueeze(-1)).squeeze(-1).amin(-1)
    return gains / (lengths(gradients).squeeze(-1) * step.norm(dim=-1).clamp(min=1e-300))


# --- symmetry and scale --------------------------------------------------------------------------------------

@each("PCGrad")
@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_order_of_the_tasks_does_not_matter(name, tasks):
    gradients = draw(20, tasks)
    order = torch.randperm(tasks, generator=torch.Generator().manual_seed(1)) if tasks > 2 else torch.tensor([1, 0])
    there, back = (direction(AGGREGATORS[name](), g) for g in (gradients, gradients[:, order]))
    assert ((there - back).norm(dim=-1) / lengths(gradients).squeeze(-1)).max() < EXACT[name]


def test_order_does_not_matter_to_pcgrad_of_two_tasks():
    gradients = draw(50, 2)
    there, back = (direction(PCGrad(), g) for g in (gradients, gradients.flip(1)))
    torch.testing.assert_close(there, back, rtol=1e-12, atol=1e-12)


CONFLICT = torch.tensor([[1.0, 0.0, 0.3], [-1.2, 1.6, 0.0], [-0.5, -0.9, 0.1]], dtype=torch.float64)  # each pair


def every_order(tasks):
    """Return all ways in which the tasks may meet each other, [K!^K, K, K]."""
    return torch.tensor(list(itertools.product(itertools.permutations(range(tasks)), repeat=tasks)))


def test_order_does_not_matter_to_pcgrad_of_three_tasks_on_average_alone():
    orders = every_order(3)
    found = {}
    for permutation in ([0, 1, 2], [2, 0, 1]):
        rows = CONFLICT[permutation]
        gramian = (rows @ rows.T).expand(len(orders), 3, 3)
        found[tuple(permutation)] = PCGrad().weights(gramian, orders) @ rows             # [N, P]
    first, second = found.values()
    torch.testing.assert_close(first.mean(0), second.mean(0), rtol=1e-12, atol=1e-12)
    assert first.std(0).max() > 0.01


def test_pcgrad_draws_every_order_equally_often():
    gramian = CONFLICT @ CONFLICT.T
    expected = PCGrad().weights(gramian.expand(216, 3, 3), every_order(3))
    torch.manual_seed(0)
    drawn = PCGrad().weights(gramian.expand(20_000, 3, 3))
    error = expected.std(0) / 20_000**0.5
    assert (drawn.mean(0) - expected.mean(0)).abs().max() < 4.5 * error.max()
    values = expected.round(decimals=9).unique(dim=0)
    assert len(values) > 1
    assert torch.equal(drawn.round(decimals=9).unique(dim=0), values)


@each("infinity norm")
@pytest.mark.parametrize("scale", [1e-5, 1e5])
@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_gradients_of_another_unit_give_the_same_direction_in_that_unit(name, tasks, scale):
    gradients = draw(20, tasks)
    plain, scaled = direction(AGGREGATORS[name](), gradients), direction(AGGREGATORS[name](), scale * gradients)
    assert ((scaled / scale - plain).norm(dim=-1) / lengths(gradients).squeeze(-1)).max() < EXACT[name]


def test_infinity_norm_limit_knows_a_unit():
    gradients = draw(1, 3)[0]
    assert torch.equal(weights_of(InfinityNormLimit(1.0), 1e-5 * gradients), torch.ones(3, dtype=torch.float64))
    assert weights_of(InfinityNormLimit(1.0), 1e5 * gradients).max() < 1e-4


@each()
def test_a_batch_of_gramians_gives_what_each_gives_alone(name):
    if name == "infinity norm":
        gradients = draw(6, 3)
        together = weights_of(InfinityNormLimit(1.0), gradients)
        alone = torch.stack([weights_of(InfinityNormLimit(1.0), one) for one in gradients])
        assert torch.equal(together, alone)
        return
    gradients = draw(6, 3)
    gramian = (gradients @ gradients.mT).reshape(2, 3, 3, 3)
    orders = {"orders": torch.rand(2, 3, 3, 3).argsort(-1)} if name == "PCGrad" else {}
    together = AGGREGATORS[name]().weights(gramian, **orders)
    assert together.shape == (2, 3, 3)
    for place in itertools.product(range(2), range(3)):
        alone = AGGREGATORS[name]().weights(gramian[place], **{key: value[place] for key, value in orders.items()})
        rows = gradients.reshape(2, 3, 3, -1)[place]
        assert ((together[place] - alone) @ rows).norm() < EXACT[name] * lengths(rows)


# --- what is promised ----------------------------------------------------------------------------------------

@pytest.mark.parametrize(("name", "tasks"), [
    ("MGDA", 2), ("MGDA", 3), ("MGDA", 5), ("MGDA", 8), ("PCGrad", 2), ("UPGrad", 2), ("UPGrad", 5),
    ("CAGrad 1", 2), ("CAGrad 1", 3), ("CAGrad 1", 5), ("CAGrad 1.5", 2), ("CAGrad 1.5", 3), ("CAGrad 1.5", 5)])
@pytest.mark.parametrize("size", [2, 6, 40])
def test_no_task_ascends_where_the_method_promises_it(name, tasks, size):
    gradients = draw(50, tasks, size)
    step = direction(AGGREGATORS[name](), gradients)
    tolerance = 1e-8 * lengths(gradients) ** 2
    assert ((gradients @ step.unsqueeze(-1)).squeeze(-1) > -tolerance).all()


class Sum(Aggregator):
    def weights(self, gramian):
        return torch.ones_like(gramian[..., 0])


@pytest.mark.parametrize(("make", "tasks"), [(Sum, 2), (AGGREGATORS["CAGrad 0.4"], 2), (PCGrad, 3),
                                             (AGGREGATORS["infinity norm"], 2)])
def test_a_task_can_ascend_where_the_method_does_not_promise_otherwise(make, tasks):
    gradients = draw(200, tasks, size=3)
    assert worst_gain(gradients, direction(make(), gradients)).min() < -1e-3


@each("IMTL-G", "Aligned-MTL")
@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_no_weight_is_negative(name, tasks):
    assert weights_of(AGGREGATORS[name](), draw(100, tasks, size=4)).min() >= 0


@pytest.mark.parametrize("tasks", [2, 3, 8])
def test_weights_of_mgda_sum_to_one(tasks):
    total = weights_of(MGDA(), draw(50, tasks)).sum(-1)
    torch.testing.assert_close(total, torch.ones(50, dtype=torch.float64), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("c", [0.0, 0.4, 1.0, 1.5])
@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_cagrad_stays_within_its_ball_around_the_mean(c, tasks):
    for size in (1, 2, 40):
        gradients = draw(50, tasks, size)
        mean = gradients.mean(1)
        distance = (direction(CAGrad(c), gradients) - mean).norm(dim=-1)
        assert (distance <= (c + 1e-6) * mean.norm(dim=-1)).all()


def test_cagrad_without_radius_is_the_mean():
    gradients = draw(20, 3)
    torch.testing.assert_close(direction(CAGrad(0.0), gradients), gradients.mean(1), rtol=1e-12, atol=1e-12)


def test_cagrad_refuses_a_negative_radius():
    with pytest.raises(ValueError, match=r"c=-0.1 must not be negative"):
        CAGrad(-0.1)


def test_pcgrad_leaves_gradients_that_agree_alone():
    gradients = draw(50, 2)
    agree = ((gradients[:, 0] * gradients[:, 1]).sum(-1) >= 0)
    assert 5 < agree.sum() < 45
    weights = weights_of(PCGrad(), gradients)
    assert torch.equal(weights[agree], torch.ones_like(weights[agree]))
    assert (weights[~agree] > 1).all()


TURNED = torch.tensor([[-3.0, -3.0], [1.0, 0.0], [1.0, 3.0]], dtype=torch.float64)   # the first is turned
ORDERS = {"any": torch.rand(4, 4, generator=torch.Generator().manual_seed(0)).argsort(-1),
          "itself last": torch.tensor([[1, 2, 0], [0, 2, 1], [0, 1, 2]])}


@pytest.mark.parametrize(("gradients", "orders"), [(draw(1, 4, size=6, seed=3)[0], ORDERS["any"]),
                                                   (TURNED, ORDERS["itself last"])], ids=ORDERS)
def test_pcgrad_projects_one_gradient_after_the_other_in_the_given_order_but_never_off_itself(gradients, orders):
    expected = torch.zeros_like(gradients[0])
    for task, order in enumerate(orders.tolist()):
        mine = gradients[task]
        for other in order:
            if other != task:
                mine = project_conflicting(mine, gradients[other])
        expected += mine
    found = PCGrad().weights(gradients @ gradients.T, orders) @ gradients
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert (found - gradients.sum(0)).norm() > 0.1


def test_min_norm_weight_is_mgda_of_two_gradients():
    for gradients in draw(50, 2, size=3):
        share = weights_of(MGDA(), gradients)[0]
        torch.testing.assert_close(min_norm_weight(*gradients), share, rtol=1e-9, atol=1e-9)


# --- corners -------------------------------------------------------------------------------------------------

ALONE = {"CAGrad 0.4": 1.4, "CAGrad 1": 2.0, "CAGrad 1.5": 2.5}      # 1 + c: the far end of its ball


@each()
def test_one_task_alone_descends_its_own_gradient(name):
    gradient = torch.tensor([[0.3, -0.2, 0.1]], dtype=torch.float64)
    torch.testing.assert_close(direction(AGGREGATORS[name](), gradient), ALONE.get(name, 1.0) * gradient[0])


ONE, TWO = [1.0, 2.0, -1.0], [0.5, -1.0, 2.0]
CORNERS = {
    "a gradient of zero": [ONE, TWO, [0.0] * 3], "only zeros": [[0.0] * 3] * 3, "identical": [ONE] * 3,
    "opposite": [ONE, [-x for x in ONE]], "opposite, unequal": [ONE, [-1e3 * x for x in ONE]],
    "opposite and a third": [ONE, [-x for x in ONE], TWO], "opposite twice": [ONE, [-x for x in ONE]] * 2,
    "on one line": [ONE, [2 * x for x in ONE], [-0.5 * x for x in ONE]], "tiny": [[1e-18, 0, 0], [0, 1e-18, 0]],
}


@pytest.mark.parametrize(("name", "dtype"), [
    ("UPGrad as it comes", torch.float64), *((name, torch.float64) for name in AGGREGATORS if name != "UPGrad"),
    *((name, torch.float32) for name in AGGREGATORS if name not in ("UPGrad", "IMTL-G", "Aligned-MTL"))])
@pytest.mark.parametrize("corner", CORNERS)
def test_corners_give_finite_weights_and_no_step_longer_than_all_gradients(name, corner, dtype):
    aggregator = FromTorchJD(UPGrad()) if name == "UPGrad as it comes" else AGGREGATORS[name]()
    gradients = torch.tensor(CORNERS[corner], dtype=dtype)
    weights = weights_of(aggregator, gradients)
    assert weights.isfinite().all()
    step = (weights.unsqueeze(-1) * gradients).sum(0).norm()
    assert step <= 2.5 * gradients.norm(dim=-1).sum()


@pytest.mark.parametrize("corner", ["opposite", "opposite, unequal", "opposite twice", "on one line"])
@pytest.mark.parametrize("name", ["MGDA", "CAGrad 1", "CAGrad 1.5"])
def test_where_no_direction_helps_all_there_is_no_step(name, corner):
    gradients = torch.tensor(CORNERS[corner], dtype=torch.float64)
    assert direction(AGGREGATORS[name](), gradients).norm() < 1e-5 * lengths(gradients)


@pytest.mark.parametrize("name", ["CAGrad 1", "CAGrad 1.5"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tasks", [3, 5, 8])
def test_cagrad_stands_still_at_a_pareto_stationary_point(name, dtype, tasks):
    """Gradients with a convex combination that is zero, in many dimensions: the Gramian is known to rounding."""
    gradients = draw(10, tasks, size=50)
    shares = torch.rand(10, tasks - 1, 1, dtype=torch.float64) + 0.2
    gradients[:, -1] = -(shares * gradients[:, :-1]).sum(1)
    gradients = gradients.to(dtype)
    step = direction(AGGREGATORS[name](), gradients)
    small = {torch.float32: 1e-2, torch.float64: 1e-5}[dtype]
    assert (step.norm(dim=-1) < small * lengths(gradients).squeeze(-1)).all()


# --- the guest -----------------------------------------------------------------------------------------------

def test_torchjd_aggregator_without_weights_is_refused():
    with pytest.raises(TypeError, match=r"Linear\(.*\) does not weight the tasks' gradients"):
        FromTorchJD(nn.Linear(2, 2))


@pytest.mark.filterwarnings("ignore")
def test_nash_mtl_gives_every_task_the_same_relative_gain():
    gradients = draw(1, 3)[0]
    weights = weights_of(FromTorchJD(NashMTL(n_tasks=3, optim_niter=100)), gradients)
    gains = gradients @ (weights @ gradients)
    torch.testing.assert_close(weights * gains, (weights * gains).mean().expand(3), rtol=1e-2, atol=0)


def test_settings_show_so_that_a_checkpoint_is_not_continued_with_others():
    assert len({repr(make()) for make in AGGREGATORS.values()}) == len(AGGREGATORS)
    assert repr(MGDA()) != repr(MGDA(at="representation"))


def test_gradients_are_taken_at_one_of_two_places():
    with pytest.raises(ValueError, match="at='towers' is neither 'parameters' nor 'representation'"):
        MGDA(at="towers")
