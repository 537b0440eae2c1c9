"""The papers' two-task problem and the walks on it."""

import pytest
import torch

from mtl_tutorial.balancing.famo import FAMO
from mtl_tutorial.balancing.toy_problem import (
    AGGREGATORS,
    LOWEST,
    SMALL,
    STARTS,
    losses_and_gradients,
    reached,
    trajectories,
)
from mtl_tutorial.tasks import Task


def papers_losses(x):
    """Return both losses [N, 2] term by term as the paper writes them; the first is scaled by 0.1."""
    x1, x2 = x.unbind(-1)
    up, down = (0.5 * x2).tanh().clamp(min=0), (-0.5 * x2).tanh().clamp(min=0)
    first = (0.5 * (-x1 - 7) - (-x2).tanh()).abs().clamp(min=SMALL).log() + 6
    second = (0.5 * (-x1 + 3) + (-x2).tanh() + 2).abs().clamp(min=SMALL).log() + 6
    first_bowl = ((-x1 + 7) ** 2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20
    second_bowl = ((-x1 - 7) ** 2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20
    return torch.stack([0.1 * (up * first + down * first_bowl), up * second + down * second_bowl], -1)


POINTS = torch.cat([STARTS, 20 * torch.rand(500, 2, generator=torch.Generator().manual_seed(0),
                                            dtype=torch.float64) - 10])


def test_losses_and_gradients_are_those_of_the_paper():
    x = POINTS.clone().requires_grad_()
    expected = papers_losses(x)
    losses, gradients = losses_and_gradients(POINTS)
    torch.testing.assert_close(losses, expected.detach(), rtol=1e-12, atol=1e-12)
    for task in range(2):
        by_autograd, = torch.autograd.grad(expected[:, task].sum(), x, retain_graph=True)
        torch.testing.assert_close(gradients[:, task], by_autograd, rtol=1e-10, atol=1e-10)


def test_gradient_of_the_cut_off_logarithm_is_flat_in_the_first_coordinate():
    x2 = torch.tensor(1.0, dtype=torch.float64)
    x1 = -7 - 2 * (-x2).tanh()                                                          # the first distance is zero
    losses, gradients = losses_and_gradients(torch.stack([x1, x2]))
    assert losses.isfinite().all()
    assert gradients[0, 0] == 0
    assert gradients[1, 0] != 0


def test_famo_is_told_a_value_below_every_loss():
    x1, x2 = torch.meshgrid(torch.linspace(-12, 12, 241), torch.linspace(-15, 12, 271), indexing="ij")
    lowest = losses_and_gradients(torch.stack([x1, x2], -1).double())[0].reshape(-1, 2).amin(0)
    assert (lowest > torch.tensor(LOWEST)).all()
    assert (lowest < 0.9 * torch.tensor(LOWEST)).all()      # and not far below: FAMO looks at the distance


@pytest.mark.parametrize(("x", "verdict"), [
    ([0.0, -8.2], True), ([7.2, -7.6], True), ([-7.2, -8.8], True),
    ([7.4, -8.2], False), ([-7.4, -8.2], False), ([0.0, -7.4], False), ([0.0, -9.0], False), ([9.0, 9.0], False),
])
def test_reached_means_near_the_line_between_the_bowls(x, verdict):
    assert reached(torch.tensor(x)).item() is verdict
    assert reached(torch.tensor([x, [0.0, 0.0]])).tolist() == [verdict, False]


def test_only_some_points_are_kept_but_both_ends_are():
    every = trajectories(steps=20, keep=20, starts=STARTS[:3])
    some = trajectories(steps=20, keep=4, starts=STARTS[:3])
    assert every.keys() == some.keys() == {*AGGREGATORS, "FAMO"}
    for name, walked in some.items():
        assert walked.shape == (5, 3, 2)
        assert torch.equal(walked[0], STARTS[:3])
        assert torch.equal(walked, every[name][::5])


def test_each_method_walks_by_adam_along_its_own_direction():
    starts = STARTS[[0, 2, 3, 4]]       # in (0, 0) the gradients are opposite: IMTL-G and Nash-MTL follow rounding
    walked = trajectories(steps=30, lr=0.01, keep=30, starts=starts)
    for name, method in AGGREGATORS.items():
        x = starts.clone().requires_grad_()
        adam = torch.optim.Adam([x], lr=0.01)
        for step in range(31):
            torch.testing.assert_close(walked[name][step], x.detach(), rtol=1e-9, atol=1e-9, msg=f"{name}, {step}")
            first, second = losses_and_gradients(x.detach())[1].unbind(1)
            weights = method((first * first).sum(-1), (first * second).sum(-1), (second * second).sum(-1))
            x.grad = weights[:, :1] * first + weights[:, 1:] * second
            adam.step()


def test_famo_walks_from_each_start_as_if_alone_and_its_decay_is_its_own():
    walked = trajectories(steps=30, lr=0.01, keep=30, famo_decays={"weak": 1e-5, "strong": 0.5})
    assert not torch.equal(walked["weak"], walked["strong"])
    for name, decay in (("weak", 1e-5), ("strong", 0.5)):
        for number, start in enumerate(STARTS):
            famo = FAMO([Task("first"), Task("second")], LOWEST, decay=decay).double()
            x = start.clone().requires_grad_()
            adam = torch.optim.Adam([x], lr=0.01)
            for _ in range(30):
                adam.zero_grad()
                famo(papers_losses(x)).backward()
                adam.step()
                famo.after_step(papers_losses(x).detach())
            torch.testing.assert_close(walked[name][-1, number], x.detach(), rtol=1e-8, atol=1e-8)
