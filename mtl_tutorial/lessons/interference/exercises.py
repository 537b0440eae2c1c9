"""The exercises of lesson 02, with the mistakes that learners make and what to tell them."""

import torch

from mtl_tutorial.balancing.grad_norm import gradnorm_targets
from mtl_tutorial.balancing.infinity_norm import limit_infinity_norm
from mtl_tutorial.balancing.mgda import min_norm_weight
from mtl_tutorial.balancing.pcgrad import project_conflicting
from mtl_tutorial.balancing.uncertainty_weighting import uncertainty_weighted_loss
from mtl_tutorial.classroom.cases import normal
from mtl_tutorial.classroom.exercise import Exercise, Mistake

# --- uncertainty_weighted_loss ---------------------------------------------------------------------------------

def _uncertainty_cases():
    kinds = torch.tensor([False, True, False])
    return [(normal(seed, 3).abs().requires_grad_(), (scale * normal(seed + 1, 3)).requires_grad_(), kinds)
            for seed, scale in ((0, 1.0), (10, 2.0), (20, 0.5))] + [(
        torch.tensor([0.02, 0.01, 0.03], dtype=torch.float64, requires_grad=True),        # a good model: below zero
        torch.tensor([-2.0, -3.0, -2.5], dtype=torch.float64, requires_grad=True), kinds), (
        normal(25, 2, 4).abs().requires_grad_(), normal(26, 2, 4, grad=True),           # a stack of two models
        torch.tensor([True, False, False, True]))]


def _factor(regression):
    return torch.where(regression, 0.5, 1.0).to(torch.float64)


UNCERTAINTY = Exercise(
    id="02.uncertainty_weighted_loss",
    reference=uncertainty_weighted_loss,
    cases=_uncertainty_cases,
    hints=(
        "With s = log σ², what is 1/σ²? And log σ?",
        "1/σ² = exp(−s) and log σ = s/2. A regression has the factor 1/2 before its loss, a classification has not.",
        "`factor = torch.where(regression, 0.5, 1.0)`; then the sum of `factor * (-s).exp() * losses + s / 2`.",
    ),
    mistakes=(
        Mistake(lambda losses, log_variances, regression:
                (_factor(regression) * log_variances.exp() * losses + log_variances / 2).sum(-1),
                "The sign in the exponent: exp(+s) gives the noisy task the larger weight, and s runs to −∞."),
        Mistake(lambda losses, log_variances, regression:
                (_factor(regression) * (-log_variances).exp() * losses).sum(-1),
                "The term s/2 is missing. Without it the cheapest way down is s → ∞: every weight goes to zero and "
                "nothing is learned."),
        Mistake(lambda losses, log_variances, regression:
                (_factor(regression) * (-log_variances).exp() * losses - log_variances / 2).sum(-1),
                "Minus s/2 rewards a large s: the weights go to zero and the objective to −∞."),
        Mistake(lambda losses, log_variances, regression:
                (_factor(regression) * losses / log_variances + log_variances.log() / 2).sum(-1),
                "Here s itself is taken for σ². Nothing keeps it positive: once it has crossed zero, the weight is "
                "negative, the logarithm NaN, and the task is unlearned. That is why s is the logarithm."),
        Mistake(lambda losses, log_variances, regression:
                ((-log_variances).exp() * losses + log_variances / 2).sum(-1),
                "No factor 1/2 anywhere: the squared error of a Gaussian has one (equation 7 of the paper)."),
        Mistake(lambda losses, log_variances, regression:
                (torch.where(regression, 1.0, 0.5) * (-log_variances).exp() * losses + log_variances / 2).sum(-1),
                "The factors are swapped: 1/2 belongs to the regressions."),
        Mistake(lambda losses, log_variances, regression:
                (_factor(regression) * ((-log_variances).exp() * losses + log_variances / 2)).sum(-1),
                "The factor c_k multiplies the loss alone; here it halves the regressions' s/2 as well."),
        Mistake(lambda losses, log_variances, regression:
                (_factor(regression) * (-log_variances).exp() * losses + log_variances / 2).mean(-1),
                "The mean over the tasks in place of the sum."),
        Mistake(lambda losses, log_variances, regression:
                (_factor(regression) * (-log_variances).exp() * losses + log_variances / 2).sum(),
                "All dimensions are summed. With a stack of models, losses [R, K], each has an objective of its own: "
                "sum over the last dimension, the tasks."),
        Mistake(lambda losses, log_variances, regression:
                (0.5 * (-log_variances).exp() * losses + log_variances / 2).sum(-1),
                "Every task has the factor 1/2. It belongs to the squared error of a Gaussian; a cross-entropy has "
                "none (equations 7 and 10 of the paper)."),
        Mistake(lambda losses, log_variances, regression:
                (_factor(regression) * (-log_variances).exp() * losses + log_variances).sum(-1),
                "log σ² in place of log σ: with s = log σ² the second term is s/2."),
        Mistake(lambda losses, log_variances, regression:
                (_factor(regression) * (-2 * log_variances).exp() * losses + log_variances / 2).sum(-1),
                "exp(−2s) takes s for log σ; here s is log σ² already."),
        Mistake(lambda losses, log_variances, regression:
                (_factor(regression) * (-log_variances).exp() * losses + log_variances / 2).sum(-1).clamp(min=0),
                "The objective is clamped at zero. It may be negative (a density can exceed 1); clamped, its gradient "
                "is zero just when the model gets good."),
    ),
    title="Uncertainty weighting", difficulty=2, importance=4, minutes=10)


# --- project_conflicting ---------------------------------------------------------------------------------------

def _projection_cases():
    return [(normal(30, 5), normal(31, 5)), (normal(32, 4), -2 * normal(32, 4) + normal(33, 4)),
            (normal(34, 6), normal(34, 6) + 0.1 * normal(35, 6)), (-3 * normal(36, 3), 0.5 * normal(36, 3))]


PROJECT = Exercise(
    id="02.project_conflicting",
    reference=project_conflicting,
    cases=_projection_cases,
    hints=(
        "What sign has g · o when a step along −g makes the other task worse?",
        "The part of g along o is (g · o) / (o · o) · o. Take it away where g · o < 0; otherwise leave g as it is.",
        "`inner = gradient @ other`, then `gradient - inner / (other @ other) * other if inner < 0 else gradient`.",
    ),
    mistakes=(
        Mistake(lambda gradient, other: gradient - gradient @ other / (other @ other) * other,
                "The projection is always applied. Gradients that agree should be left alone: their common part is "
                "what the tasks want to share."),
        Mistake(lambda gradient, other: gradient - gradient @ other / (other @ other) * other
                if gradient @ other > 0 else gradient,
                "The sign: this removes the part on which the tasks agree and keeps the conflict."),
        Mistake(lambda gradient, other: gradient - gradient @ other / other.norm() * other
                if gradient @ other < 0 else gradient,
                "Divided by ‖o‖ instead of ‖o‖²: right only where the other gradient has length 1."),
        Mistake(lambda gradient, other: gradient - gradient @ other / (gradient @ gradient) * other
                if gradient @ other < 0 else gradient,
                "Divided by g · g: the part along o needs o · o, the squared length of the gradient projected on."),
        Mistake(lambda gradient, other: gradient - gradient @ other / (gradient.norm() * other.norm()) * other
                if gradient @ other < 0 else gradient,
                "The cosine times o: the part along o is (g · o) / (o · o) · o, whatever the length of g."),
        Mistake(lambda gradient, other: gradient @ other / (other @ other) * other
                if gradient @ other < 0 else gradient,
                "This is the part to be taken away; what is asked for is the rest."),
        Mistake(lambda gradient, other: gradient - gradient @ other * other if gradient @ other < 0 else gradient,
                "Not divided by ‖o‖²: right only where the other gradient has length 1."),
        Mistake(lambda gradient, other: gradient + gradient @ other / (other @ other) * other
                if gradient @ other < 0 else gradient,
                "The part along o is added once more: the conflict doubles."),
        Mistake(lambda gradient, other: gradient - gradient @ other / (gradient @ gradient) * gradient
                if gradient @ other < 0 else gradient,
                "The gradient is projected on itself: it changes its length, never its direction."),
        Mistake(lambda gradient, other: other - gradient @ other / (gradient @ gradient) * gradient
                if gradient @ other < 0 else other,
                "The roles are swapped: it is `gradient` that is to be changed, by taking away its part along `other`."),
        Mistake(lambda gradient, other: torch.zeros_like(gradient) if gradient @ other < 0 else gradient,
                "A gradient in conflict is dropped altogether; only its part along the other has to go."),
    ),
    title="PCGrad's projection", difficulty=2, importance=5, minutes=8)


# --- min_norm_weight -------------------------------------------------------------------------------------------

def _min_norm_cases():
    return [(normal(40, 5), normal(41, 5)), (normal(42, 4), 0.2 * normal(42, 4) + 0.01 * normal(43, 4)),
            (0.1 * normal(44, 4) + 0.01 * normal(45, 4), normal(44, 4)), (normal(46, 3), 3 * normal(47, 3))]


MIN_NORM = Exercise(
    id="02.min_norm_weight",
    reference=min_norm_weight,
    cases=_min_norm_cases,
    hints=(
        "Write ‖γ g₁ + (1 − γ) g₂‖² as a parabola in γ. Where is its lowest point?",
        "With d = g₂ − g₁ the vector is g₂ − γ d, and the lowest point is at γ = (d · g₂) / (d · d).",
        "γ is a share: `.clamp(0, 1)`. Where the lowest point lies outside, the shorter gradient alone is the answer.",
    ),
    mistakes=(
        Mistake(lambda first, second: (second - first) @ second / ((second - first) @ (second - first)),
                "γ is not kept in [0, 1]. Outside, the combination is no longer between the gradients, and one task "
                "gets a negative weight: it is unlearned."),
        Mistake(lambda first, second: ((second - first) @ second / ((second - first) @ (second - first))).clamp(max=1),
                "Kept below 1, but not above 0: where the second gradient is much shorter, the first gets a negative "
                "weight."),
        Mistake(lambda first, second: ((first - second) @ second / ((second - first) @ (second - first))).clamp(0, 1),
                "The difference has the wrong sign: with d = g₂ − g₁ the lowest point is at (d · g₂) / (d · d)."),
        Mistake(lambda first, second: 1 - ((second - first) @ second / ((second - first) @ (second - first))).clamp(0, 1),
                "This is the share of the second gradient; the first one's was asked for."),
        Mistake(lambda first, second: first @ first / (first @ first + second @ second),
                "The cosine is left out: this is right only for gradients at right angles, and for them with the "
                "shares swapped."),
        Mistake(lambda first, second: second @ second / (first @ first + second @ second),
                "The inner product g₁ · g₂ is left out: right only for gradients at right angles."),
        Mistake(lambda first, second: second.norm() / (first.norm() + second.norm()),
                "These shares make both weighted gradients equally long (that is IMTL-G); the shortest combination "
                "is another."),
        Mistake(lambda first, second: torch.full((), 0.5, dtype=first.dtype),
                "The mean of both gradients: the shortest combination only where both are equally long."),
    ),
    title="MGDA for two tasks", difficulty=3, importance=3, minutes=12)


# --- gradnorm_targets ------------------------------------------------------------------------------------------

def _gradnorm_cases():
    def case(seed, tasks, alpha):
        positive = [normal(seed + i, tasks).abs() + 0.2 for i in range(3)]
        return positive[0].requires_grad_(), positive[1].requires_grad_(), positive[2], alpha
    stack = [normal(75 + i, 2, 3).abs() + 0.2 for i in range(3)]                         # of two models
    return [case(50, 3, 1.5), case(60, 2, 0.5), case(70, 4, 1.0), (*stack, 1.5)]


GRADNORM = Exercise(
    id="02.gradnorm_targets",
    reference=gradnorm_targets,
    cases=_gradnorm_cases,
    hints=(
        "What share of its first loss does each task still have? And compared with the other tasks' mean share?",
        "r = (L / L₀) / mean(L / L₀); the target is mean(norms) · r^α.",
        "The targets are constants for the weights' gradient step: `.detach()` the result.",
    ),
    mistakes=(
        Mistake(lambda norms, losses, first_losses, alpha:
                norms.mean(-1, keepdim=True) * ((losses / first_losses) / (losses / first_losses).mean(-1, keepdim=True))
                ** alpha,
                "The targets are not detached: the weights would also move them, and the quickest way to meet a target "
                "is to pull it down."),
        Mistake(lambda norms, losses, first_losses, alpha:
                (norms * ((losses / first_losses) / (losses / first_losses).mean(-1, keepdim=True)) ** alpha).detach(),
                "Each task's own norm instead of the mean of all: then no task is ever asked to come to the others' "
                "size."),
        Mistake(lambda norms, losses, first_losses, alpha:
                (norms.mean(-1, keepdim=True) * (losses / losses.mean(-1, keepdim=True)) ** alpha).detach(),
                "The losses are not divided by their first values: a task in large units looks like one that lags."),
        Mistake(lambda norms, losses, first_losses, alpha:
                (norms.mean(-1, keepdim=True) * (losses / first_losses) ** alpha).detach(),
                "Not divided by the mean over tasks: as all losses fall, all targets go to zero."),
        Mistake(lambda norms, losses, first_losses, alpha:
                (norms.mean(-1, keepdim=True) * ((first_losses / losses) / (first_losses / losses).mean(-1, keepdim=True))
                 ** alpha).detach(),
                "Upside down: this helps the tasks that learn fastest."),
        Mistake(lambda norms, losses, first_losses, alpha:
                (norms.mean(-1, keepdim=True) * alpha * (losses / first_losses)
                 / (losses / first_losses).mean(-1, keepdim=True)).detach(),
                "α is an exponent, not a factor: at α = 0 all norms should become equal, not zero."),
        Mistake(lambda norms, losses, first_losses, alpha:
                (norms.sum(-1, keepdim=True) * ((losses / first_losses) / (losses / first_losses).mean(-1, keepdim=True))
                 ** alpha).detach(),
                "The sum of the norms instead of their mean: no set of weights that sums to K can reach it."),
        Mistake(lambda norms, losses, first_losses, alpha:
                (norms.mean(-1, keepdim=True) * (losses / first_losses) / (losses / first_losses).mean(-1, keepdim=True))
                .detach(),
                "α is left out: it decides how strongly tasks that lag are helped."),
        Mistake(lambda norms, losses, first_losses, alpha:
                (((losses / first_losses) / (losses / first_losses).mean(-1, keepdim=True)) ** alpha).detach(),
                "The mean norm is left out: the targets need the unit of the gradients."),
        Mistake(lambda norms, losses, first_losses, alpha:
                (norms.mean() * ((losses / first_losses) / (losses / first_losses).mean()) ** alpha).detach(),
                "The means run over all dimensions; with a stack of models [R, K] they are over the tasks, the last one, "
                "with keepdim=True."),
    ),
    title="GradNorm's targets", difficulty=3, importance=3, minutes=12)


# --- limit_infinity_norm ---------------------------------------------------------------------------------------

def _limit_cases():
    return [(normal(80, 6), 0.5), (normal(81, 6), 10.0), (5 * normal(82, 4), 1.0), (1e-3 * normal(83, 4), 1.0),
            (normal(84, 5), 2.0)]


LIMIT = Exercise(
    id="02.limit_infinity_norm",
    reference=limit_infinity_norm,
    cases=_limit_cases,
    hints=(
        "‖g‖∞ is the largest entry by size. What should happen if it is below C already?",
        "Scale the whole gradient by C / ‖g‖∞, so that its direction stays; only where ‖g‖∞ > C.",
        "`largest = gradient.abs().max()`; `gradient * (limit / largest) if largest > limit else gradient`.",
    ),
    mistakes=(
        Mistake(lambda gradient, limit: gradient.clamp(-limit, limit),
                "Clipped entry by entry: the norm is met, but the gradient points elsewhere. Scale it as a whole."),
        Mistake(lambda gradient, limit: gradient * (limit / gradient.abs().max()),
                "Also small gradients are scaled, up to C: that is a normalisation. The constraint says ≤ C, and a task "
                "that has finished would be shouted up again."),
        Mistake(lambda gradient, limit: gradient * (limit / gradient.norm()) if gradient.norm() > limit else gradient,
                "This is the Euclidean norm; ‖·‖∞ is the largest entry by size."),
        Mistake(lambda gradient, limit: gradient * (limit / gradient.max()) if gradient.max() > limit else gradient,
                "Without the absolute value a large negative entry goes unseen."),
        Mistake(lambda gradient, limit: gradient * (limit / gradient.abs().sum())
                if gradient.abs().sum() > limit else gradient,
                "This is the 1-norm, the sum of all sizes; ‖·‖∞ is the largest of them."),
        Mistake(lambda gradient, limit: gradient / gradient.abs().max() if gradient.abs().max() > limit else gradient,
                "Scaled to 1, not to C."),
        Mistake(lambda gradient, limit: gradient.clamp(max=limit),
                "Only entries above C are cut, one by one, and the negative ones not at all: the constraint is on the size, "
                "and the direction should stay."),
        Mistake(lambda gradient, limit: gradient if gradient.abs().max() <= limit else torch.zeros_like(gradient),
                "A gradient above the limit is thrown away; it should be scaled down to it."),
    ),
    title="The ∞-norm constraint", difficulty=1, importance=3, minutes=6)


EXERCISES = (UNCERTAINTY, PROJECT, MIN_NORM, GRADNORM, LIMIT)
