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
        Mistake(lambda x, weight, bias, down, up, alpha: x @ weight + bias + alpha / up.shape[-1] * _update(x, down, up),
                "α is divided by the number of outputs. The rank is the side that A and B have in common: the rows of B."),
        Mistake(lambda x, weight, bias, down, up, alpha: x @ weight + bias + alpha * down.shape[-1] * _update(x, down, up),
                "The update is multiplied by the rank; divide by it: the scale is α/r."),
        Mistake(lambda x, weight, bias, down, up, alpha:
                x @ weight + bias + alpha / down.shape[-1] ** 0.5 * _update(x, down, up),
                "α is divided by √r. That is a later variant, rank-stabilised LoRA; the definition here divides by r."),
        Mistake(lambda x, weight, bias, down, up, alpha: x @ weight + bias - alpha / down.shape[-1] * _update(x, down, up),
                "The update is subtracted. It is added: with a minus, what merging adds would be taken away here."),
        Mistake(lambda x, weight, bias, down, up, alpha: alpha / down.shape[-1] * _update(x, down, up),
                "This is the update alone: the frozen layer, x W + b, has to be added."),
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
    def case(seed, rank, alpha, width):         # as many inputs as outputs: a transposed update is wrong, and no error
        return normal(seed, width, width), normal(seed + 1, width, rank), normal(seed + 2, rank, width), alpha
    return [case(30, 2, 8.0, 4), case(40, 3, 1.5, 5), case(50, 2, 0.5, 3)]


MERGE = Exercise(
    id="04.merge_lora",
    reference=merge_lora,
    cases=_merge_cases,
    hints=(
        "x W + (α/r) x A B = x (…). What stands in the brackets?",
        "A [I, r] times B [r, O] has the shape of W. That product is the whole update; x is not needed.",
        "`weight + alpha / down.shape[-1] * (down @ up)`",
    ),
    mistakes=(
        Mistake(lambda weight, down, up, alpha: weight + down @ up,
                "The scale α/r is left out: the merged layer is not the one that was trained."),
        Mistake(lambda weight, down, up, alpha: weight + alpha * down @ up,
                "Scaled by α, but not divided by the rank."),
        Mistake(lambda weight, down, up, alpha: weight + alpha / down.shape[0] * down @ up,
                "α is divided by the layer's width, its inputs or outputs. The rank is the side that A and B have in common: "
                "the columns of A, the rows of B."),
        Mistake(lambda weight, down, up, alpha: weight + alpha / down.shape[-1] ** 0.5 * down @ up,
                "α is divided by √r. That is a later variant, rank-stabilised LoRA; the forward pass above divides by r."),
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
    def case(seed, alpha, beta, shapes, pretrained):
        weights = {name: normal(seed + place, *shape, grad=True) for place, (name, shape) in enumerate(shapes.items())}
        start = {name: normal(seed + 5 + place, *shapes[name]) for place, name in enumerate(pretrained)}
        return weights, start, alpha, beta
    return [case(60, 0.4, 0.06, {"head": (2,), "body": (3, 2), "bias": (2,)}, ("bias", "body")),
            case(70, 1.5, 0.3, {"embedding": (4, 3), "head": (3,), "head bias": (1,)}, ("embedding",)),
            case(80, 0.2, 1.0, {"body": (3, 2), "bias": (2,)}, ("bias", "body"))]


def _kept(weights, start, of=torch.square):
    return sum(of(weights[name] - start[name]).sum() for name in start)


def _new(weights, start, of=torch.square):
    return sum(of(value).sum() for name, value in weights.items() if name not in start)


def _paired_by_place(weights, start, alpha, beta):
    kept = sum((value - begin).square().sum() for value, begin in zip(weights.values(), start.values(), strict=False))
    return alpha / 2 * kept + beta / 2 * _new(weights, start)


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
        Mistake(lambda weights, start, alpha, beta: alpha / 2 * _kept(weights, start) + beta * _new(weights, start),
                "The new weights lack their half: it is β/2."),
        Mistake(lambda weights, start, alpha, beta:
                alpha / 2 * sum(weights[name].square().sum() for name in start) + beta / 2 * _new(weights, start),
                "Every weight is pulled to zero: that is ordinary weight decay, which unlearns what was pretrained."),
        Mistake(lambda weights, start, alpha, beta:
                alpha / 2 * sum((weights[name] + start[name]).square().sum() for name in start)
                + beta / 2 * _new(weights, start),
                "w + w⁰: every weight is pulled to minus its start. The penalty is of the difference, w − w⁰."),
        Mistake(lambda weights, start, alpha, beta:
                alpha / 2 * sum((weights[name] - start[name]).sum() ** 2 for name in start)
                + beta / 2 * sum(value.sum() ** 2 for name, value in weights.items() if name not in start),
                "The sum is squared: differences of opposite sign cancel each other. Square first, then sum."),
        Mistake(_paired_by_place,
                "Weights and starts are paired by their place in the dicts (`zip`). A name is all that they share: take "
                "`weights[name] - start[name]`."),
        Mistake(lambda weights, start, alpha, beta:
                alpha / 2 * sum((weights[name] - start[name]).square().sum() for name in weights),
                "A new weight has no start: `start[name]` is there for the pretrained ones alone. Ask `name in start` "
                "first, or run over the names in `start`.", raises="KeyError"),
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


def _unscaled(source, target, of=torch.square):
    return of(covariance(source) - covariance(target)).sum()


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
        Mistake(lambda source, target: _unscaled(source, target) / source.shape[-1] ** 2,
                "Divided by d²: the 4 is missing, it is 4d²."),
        Mistake(lambda source, target: _unscaled(source, target) / (4 * source.shape[-1]) ** 2,
                "Divided by (4d)², which is 16d²: only d is squared."),
        Mistake(lambda source, target: _unscaled(source, target) / 4 * source.shape[-1] ** 2,
                "Divided by 4 and multiplied by d²: `/ 4 * d**2` runs from the left. Put `(4 * d**2)` in brackets."),
        Mistake(lambda source, target: _unscaled(source, target) / (4 * len(source) ** 2),
                "d is taken for the number of rows; it is that of the features, `source.shape[1]`."),
        Mistake(lambda source, target: _unscaled(source, target, torch.abs) / (4 * source.shape[-1] ** 2),
                "The sizes of the entries are summed; the Frobenius norm, squared, is the sum of their squares."),
        Mistake(lambda source, target: torch.cov(source) - torch.cov(target),
                "Two square matrices of different size: is there one row and column for each *row* of the features? A "
                "covariance here is [d, d]; `torch.cov` takes one variable a row, so it wants `source.T`.",
                raises=r"size of tensor a \([46]\) must match .* b \([46]\) at non-singleton dimension 1"),
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


def _hooked(x, strength):
    x.register_hook(lambda gradient: -strength * gradient)
    return x


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
        Mistake(lambda x, strength: x.detach() - strength * x,
                "The gradient is right, but the value is (1 − λ) x: what is added to `x.detach()` has to be zero. `x - "
                "x.detach()` is."),
        Mistake(lambda x, strength: -x,
                "That is −x: the value has changed sign, and λ is not in it. Forward, it must be x itself."),
        Mistake(_hooked,
                "The hook hangs on x itself: *every* gradient of x is turned round, that of the task's loss as well, which "
                "reads x beside the judge. Return a tensor of its own; the hook may hang on `x.clone()`."),
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
