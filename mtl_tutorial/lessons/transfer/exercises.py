"""The exercises of lesson 04, with the mistakes that learners make and what to tell them."""

import torch

from mtl_tutorial.classroom.cases import normal
from mtl_tutorial.classroom.exercise import Exercise, Mistake
from mtl_tutorial.transfer.coral import coral_loss, covariance, covariance_distance
from mtl_tutorial.transfer.dann import reverse_gradient
from mtl_tutorial.transfer.l2_sp import l2_sp_penalty
from mtl_tutorial.transfer.lora import lora_forward, merge_lora

# --- lora_forward ----------------------------------------------------------------------------------------------

def _lora_cases():
    def case(seed, rows, inputs, rank, outputs, alpha):
        return (normal(seed, rows, inputs, grad=True), normal(seed + 1, inputs, outputs), normal(seed + 2, outputs),
                normal(seed + 3, inputs, rank, grad=True), normal(seed + 4, rank, outputs, grad=True), alpha)
    return [case(0, 3, 5, 2, 4, 8.0), case(10, 4, 4, 3, 4, 1.5), case(20, 1, 6, 2, 3, 0.5)]


def _update(x, down, up):
    return x @ down @ up


LORA = Exercise(
    id="04.lora_forward",
    reference=lora_forward,
    cases=_lora_cases,
    hints=(
        "Two paths from x to y: the frozen layer, and the update beside it. What does the second one give while B is zero?",
        "The update is a row vector times A [I, r], then times B [r, O]: numbers flow through a bottleneck of r.",
        "`x @ weight + bias + alpha / r * (x @ down @ up)`, and r is the number of columns of A: `down.shape[-1]`.",
    ),
    mistakes=(
        Mistake(lambda x, weight, bias, down, up, alpha: x @ weight + bias + _update(x, down, up),
                "The update is not scaled. Without α/r another rank needs another learning rate."),
        Mistake(lambda x, weight, bias, down, up, alpha: x @ weight + bias + alpha * _update(x, down, up),
                "The update is scaled by α alone. Divide by the rank: twice as many directions would otherwise move the "
                "layer twice as far."),
        Mistake(lambda x, weight, bias, down, up, alpha: x @ weight + bias + alpha / down.shape[0] * _update(x, down, up),
                "α is divided by the number of inputs. The rank is the other side of A: its columns."),
        Mistake(lambda x, weight, bias, down, up, alpha:
                x @ weight + bias + alpha / down.shape[-1] ** 0.5 * _update(x, down, up),
                "α is divided by √r. That is a later variant, rank-stabilised LoRA; the definition here divides by r."),
        Mistake(lambda x, weight, bias, down, up, alpha: bias + alpha / down.shape[-1] * _update(x, down, up),
                "The frozen layer's product is missing: all that was pretrained is gone."),
        Mistake(lambda x, weight, bias, down, up, alpha: x @ weight + alpha / down.shape[-1] * _update(x, down, up),
                "The bias is missing. It is frozen, but it is still added."),
        Mistake(lambda x, weight, bias, down, up, alpha:
                alpha / down.shape[-1] * (x @ weight + bias + _update(x, down, up)),
                "The scale is applied to the frozen layer as well. Only the update is scaled: with B at zero the layer "
                "must be what it was."),
        Mistake(lambda x, weight, bias, down, up, alpha:
                x @ weight + bias + alpha / down.shape[-1] * (x @ down).relu() @ up,
                "There is a ReLU between A and B. That is an adapter: it cannot be merged into one matrix."),
        Mistake(lambda x, weight, bias, down, up, alpha:
                x @ weight + bias + alpha / down.shape[-1] * _update(x.detach(), down, up),
                "The values are right, but the update reads a detached x: layers below would not learn from this path."),
        Mistake(lambda x, weight, bias, down, up, alpha:
                x @ weight + bias + alpha / down.shape[-1] * (x @ down.detach() @ up),
                "A is detached: then only B learns, in directions that were drawn at random."),
    ),
    title="LoRA's forward pass", difficulty=1, importance=5, minutes=5)


# --- merge_lora ------------------------------------------------------------------------------------------------

def _merge_cases():
    def case(seed, rank, alpha, *shape):
        return (normal(seed, *shape), normal(seed + 1, *shape[:-1], rank), normal(seed + 2, *shape[:-2], rank, shape[-1]),
                alpha)
    return [case(30, 2, 8.0, 4, 4), case(40, 3, 1.5, 5, 5), case(50, 2, 0.5, 3, 4, 4)]


MERGE = Exercise(
    id="04.merge_lora",
    reference=merge_lora,
    cases=_merge_cases,
    hints=(
        "x W + (α/r) x A B = x (…). What stands in the brackets?",
        "A [I, r] times B [r, O] has the shape of W. That product is the whole update; x is not needed.",
        "`weight + alpha / down.shape[-1] * (down @ up)`; `@` works on banks of matrices as it stands.",
    ),
    mistakes=(
        Mistake(lambda weight, down, up, alpha: weight + down @ up,
                "The scale α/r is left out: the merged layer is not the one that was trained."),
        Mistake(lambda weight, down, up, alpha: weight + alpha * down @ up,
                "Scaled by α, but not divided by the rank."),
        Mistake(lambda weight, down, up, alpha: weight + alpha / up.shape[-1] * down @ up,
                "α is divided by the number of outputs. The rank is the columns of A, or the rows of B."),
        Mistake(lambda weight, down, up, alpha: weight + alpha / down.shape[0] * down @ up,
                "α is divided by the first dimension of A: in a layer that is the number of inputs, in a bank the number "
                "of its members. The rank is the last one."),
        Mistake(lambda weight, down, up, alpha: weight + alpha / down.shape[-1] * (down @ up).mT,
                "The update is transposed. Weights here are [I, O], as in x W; `torch.nn.Linear` keeps [O, I]."),
        Mistake(lambda weight, down, up, alpha: alpha / down.shape[-1] * down @ up,
                "This is the update alone; the frozen weight has to be added."),
        Mistake(lambda weight, down, up, alpha: weight - alpha / down.shape[-1] * down @ up,
                "The update is subtracted: that un-merges a layer that had been merged."),
        Mistake(lambda weight, down, up, alpha: alpha / down.shape[-1] * (weight + down @ up),
                "The frozen weight is scaled as well."),
        Mistake(lambda weight, down, up, alpha: weight * (1 + alpha / down.shape[-1] * down @ up),
                "The update multiplies the weight. It is added to it."),
    ),
    title="Merge LoRA", difficulty=1, importance=4, minutes=4)


# --- l2_sp_penalty ---------------------------------------------------------------------------------------------

def _l2_sp_cases():
    def case(seed, alpha, beta, shapes, new):
        weights = {name: normal(seed + place, *shape, grad=True) for place, (name, shape) in enumerate(shapes.items())}
        start = {name: normal(seed + 5 + place, *shape) for place, (name, shape) in enumerate(shapes.items())
                 if name not in new}
        return weights, start, alpha, beta
    return [case(60, 0.4, 0.06, {"body": (3, 2), "bias": (2,), "head": (2, 1)}, ("head",)),
            case(70, 1.5, 0.3, {"embedding": (4, 3), "head": (3,), "head bias": (1,)}, ("head", "head bias")),
            case(80, 0.2, 1.0, {"body": (2, 2), "bias": (3,)}, ())]


def _kept(weights, start, of=torch.square):
    return sum(of(weights[name] - start[name]).sum() for name in start)


def _new(weights, start, of=torch.square):
    return sum(of(value).sum() for name, value in weights.items() if name not in start)


L2_SP = Exercise(
    id="04.l2_sp_penalty",
    reference=l2_sp_penalty,
    cases=_l2_sp_cases,
    hints=(
        "Where should a pretrained weight be pulled to? And one that did not exist before?",
        "Two sums of squares: of `weights[name] - start[name]` over the names in `start`, and of the weights whose names are "
        "not there.",
        "`alpha / 2 * sum(...) + beta / 2 * sum(...)`, each summand `.square().sum()`.",
    ),
    mistakes=(
        Mistake(lambda weights, start, alpha, beta: alpha * _kept(weights, start) + beta * _new(weights, start),
                "The halves are missing. With them the gradient is α (w − w⁰) and β w."),
        Mistake(lambda weights, start, alpha, beta:
                alpha / 2 * sum(weights[name].square().sum() for name in start) + beta / 2 * _new(weights, start),
                "Every weight is pulled to zero: that is ordinary weight decay, which unlearns what was pretrained."),
        Mistake(lambda weights, start, alpha, beta: alpha / 2 * _kept(weights, start),
                "The new weights are left out: they, too, have a penalty, towards zero."),
        Mistake(lambda weights, start, alpha, beta: alpha / 2 * (_kept(weights, start) + _new(weights, start)),
                "The new weights are held by α. They have a strength of their own, β."),
        Mistake(lambda weights, start, alpha, beta: beta / 2 * _kept(weights, start) + alpha / 2 * _new(weights, start),
                "α and β are exchanged: α is the pull to the start."),
        Mistake(lambda weights, start, alpha, beta:
                alpha / 2 * _kept(weights, start, torch.abs) + beta / 2 * _new(weights, start, torch.abs),
                "The differences are not squared but taken as they are in size: that is an L1 penalty, which has the same "
                "pull at any distance."),
        Mistake(lambda weights, start, alpha, beta:
                alpha / 2 * sum((weights[name] - start[name]).square().mean() for name in start)
                + beta / 2 * sum(value.square().mean() for name, value in weights.items() if name not in start),
                "`mean` in the place of `sum`: a large layer would be held more loosely than a small one."),
        Mistake(lambda weights, start, alpha, beta:
                alpha / 2 * sum((weights[name] - start[name]).norm() for name in start)
                + beta / 2 * sum(value.norm() for name, value in weights.items() if name not in start),
                "The norm is not squared."),
        Mistake(lambda weights, start, alpha, beta:
                alpha / 2 * _kept(weights, start) + beta / 2 * sum(value.square().sum() for value in weights.values()),
                "β reaches the pretrained weights as well: only the names that are not in `start` are new."),
        Mistake(lambda weights, start, alpha, beta:
                alpha / 2 * sum((weights[name].detach() - start[name]).square().sum() for name in start)
                + beta / 2 * _new(weights, start),
                "The pretrained weights are detached: the penalty is the right number, and pulls at nothing."),
    ),
    title="The L2-SP penalty", difficulty=2, importance=4, minutes=8)


# --- coral_loss ------------------------------------------------------------------------------------------------

def _coral_cases():
    def case(seed, rows, other, width):
        return ((normal(seed, rows, width) + 1).detach().requires_grad_(),
                (1.5 * normal(seed + 1, other, width) - 0.5).detach().requires_grad_())
    return [case(90, 6, 4, 3), case(100, 3, 7, 2), case(110, 5, 5, 4)]


def _correlation(features):
    found = covariance(features)
    scale = found.diagonal().sqrt()
    return found / (scale.unsqueeze(-1) * scale)


def _by(statistic):
    """Compare another statistic of the features, scaled as CORAL scales the covariance."""
    return lambda source, target: covariance_distance(statistic(source), statistic(target))


def _around_common_mean(source, target):
    mean = torch.cat([source, target]).mean(0)
    return covariance_distance(*((rows - mean).T @ (rows - mean) / (len(rows) - 1) for rows in (source, target)))


def _unscaled(source, target):
    return (covariance(source) - covariance(target)).square().sum()


CORAL_LOSS = Exercise(
    id="04.coral_loss",
    reference=coral_loss,
    cases=_coral_cases,
    hints=(
        "What does a covariance matrix forget about a sample? CORAL will not see that, either.",
        "Centre each domain by its *own* mean; then `centred.T @ centred / (n - 1)` is [d, d].",
        "The squared Frobenius norm is the sum of all squared entries of the difference; divide it by 4 d².",
    ),
    mistakes=(
        Mistake(_by(lambda rows: rows.T @ rows / (len(rows) - 1)),
                "The features are not centred: these are second moments, in which the means enter."),
        Mistake(_by(lambda rows: covariance(rows) * (len(rows) - 1) / len(rows)),
                "The covariances are divided by n; the paper's by n − 1."),
        Mistake(_by(lambda rows: covariance(rows) * (len(rows) - 1)),
                "The products are summed, not averaged: the larger domain would seem to vary more."),
        Mistake(_unscaled,
                "The factor 1 / 4d² is missing."),
        Mistake(lambda source, target: _unscaled(source, target) / (4 * source.shape[-1]),
                "Divided by 4d; the matrix has d² entries: 4d²."),
        Mistake(lambda source, target: _unscaled(source, target).sqrt() / (4 * source.shape[-1] ** 2),
                "The Frobenius norm is not squared."),
        Mistake(lambda source, target: (source.mean(0) - target.mean(0)).square().sum() / (4 * source.shape[-1] ** 2),
                "The means are compared; CORAL compares covariances."),
        Mistake(_by(_correlation),
                "Correlations are compared: what differs in scale alone would count as aligned."),
        Mistake(_by(lambda rows: covariance(rows).diagonal()),
                "Only the variances are compared: how the features go together is in the entries beside the diagonal."),
        Mistake(_around_common_mean,
                "Both domains are centred by their common mean: each has its own, or a shift counts as spread."),
        Mistake(lambda source, target: coral_loss(source, target.detach()),
                "The target is detached: the values are right, but the body would move the source alone."),
    ),
    title="The CORAL loss", difficulty=2, importance=4, minutes=8)


# --- reverse_gradient ------------------------------------------------------------------------------------------

def _reversal_cases():
    return [(normal(120, 3, 2, grad=True), 0.3), (normal(121, 5, grad=True), 2.0), (normal(122, 2, 1, 3, grad=True), 0.0)]


def _with_gradient(x, factor):
    """Return x, whose gradient is multiplied by a factor."""
    return x.detach() + factor * (x - x.detach())


REVERSE = Exercise(
    id="04.reverse_gradient",
    reference=reverse_gradient,
    cases=_reversal_cases,
    hints=(
        "Forward nothing happens. Which two tensors have the value of x, and which of them has a gradient?",
        "`x - x.detach()` is zero and has the gradient of x. Multiply it by anything you like: it stays zero.",
        "`x.detach() - strength * (x - x.detach())`. (A `torch.autograd.Function` does it, too.)",
    ),
    mistakes=(
        Mistake(lambda x, strength: -strength * x,
                "The value is changed as well: the judge would read −λ x. Forward, it must be x itself."),
        Mistake(lambda x, strength: _with_gradient(x, strength),
                "The gradient is scaled by λ and not turned round: the body would help the judge."),
        Mistake(lambda x, strength: _with_gradient(x, -1),
                "The gradient is reversed, but λ is not in it."),
        Mistake(lambda x, strength: _with_gradient(x, 1 - strength),
                "The gradient is 1 − λ times what it was: the undisturbed x still lets one whole gradient through. Start "
                "from `x.detach()`."),
        Mistake(lambda x, strength: _with_gradient(x, 1 + strength),
                "The gradient is 1 + λ times what it was: the sign is lost, and the body helps the judge even more."),
        Mistake(lambda x, strength: _with_gradient(x, -(1 + strength)),
                "The gradient is −(1 + λ): a λ of 0 has to let nothing through, for the judge begins by guessing."),
        Mistake(lambda x, strength: x * 1,
                "Nothing is reversed: the body helps the judge to tell the domains apart."),
        Mistake(lambda x, strength: x.detach(),
                "Nothing comes back at all: the judge learns, and the body never hears of it."),
    ),
    title="Gradient reversal", difficulty=2, importance=5, minutes=8)


EXERCISES = (LORA, MERGE, L2_SP, CORAL_LOSS, REVERSE)
