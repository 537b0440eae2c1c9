"""The exercises of lesson 05, with the mistakes that learners make and what to tell them."""

import torch

from mtl_tutorial.classroom.cases import normal
from mtl_tutorial.classroom.exercise import Exercise, Mistake
from mtl_tutorial.meta.maml import inner_step
from mtl_tutorial.meta.meta_gradient import meta_gradient
from mtl_tutorial.meta.proto_net import prototype_logits, prototypes
from mtl_tutorial.meta.reptile import reptile_update
from mtl_tutorial.meta.split_episode import split_episode

# --- inner_step ------------------------------------------------------------------------------------------------

def _inner_cases():
    def case(seed, tasks, rows, inputs, outputs, rate, first_order):
        x, y = normal(seed, tasks, rows, inputs), normal(seed + 1, tasks, rows, outputs)

        def loss_of(weights):
            error = x @ weights["weight"] + weights["bias"].unsqueeze(1) - y            # [T, N, O]
            return (error.square() + 0.1 * error ** 4).mean((1, 2)).sum()

        weights = {"weight": normal(seed + 2, tasks, inputs, outputs, grad=True),
                   "bias": normal(seed + 3, tasks, outputs, grad=True)}
        return weights, loss_of, rate, first_order

    def of_one_start(weights, *others):
        """Give all tasks the weights of the first, as MAML does: they are computed, and have no ``.grad``."""
        return {name: value[:1].expand_as(value) for name, value in weights.items()}, *others
    return [case(0, 3, 4, 2, 2, 0.3, False), of_one_start(*case(10, 2, 5, 3, 1, 0.2, True)),
            case(20, 1, 3, 2, 2, 0.1, False)]


def _descend(weights, loss_of, rate, graph, start=lambda value: value, slope=lambda gradient: gradient):
    gradients = torch.autograd.grad(loss_of(weights), list(weights.values()), create_graph=graph)
    return {name: start(value) - rate * slope(gradient)
            for (name, value), gradient in zip(weights.items(), gradients, strict=True)}


def _first_alone(weights, loss_of, rate, first_order):
    moved = _descend(weights, loss_of, rate, not first_order)
    first = next(iter(weights))
    return {**weights, first: moved[first]}


def _one_after_the_other(weights, loss_of, rate, first_order):
    moved = dict(weights)
    for name in weights:
        [gradient] = torch.autograd.grad(loss_of(moved), [moved[name]], create_graph=not first_order, retain_graph=True)
        moved[name] = moved[name] - rate * gradient
    return moved


def _read_from_grad(weights, loss_of, rate, first_order):
    loss_of(weights).backward(create_graph=not first_order)
    return {name: value - rate * value.grad for name, value in weights.items()}


INNER = Exercise(
    id="05.inner_step",
    reference=inner_step,
    cases=_inner_cases,
    hints=(
        "φ = θ − α ∇L(θ), for every entry of the dict. What must stay true of φ, so that the loss *after* the step can be "
        "differentiated with respect to θ?",
        "`torch.autograd.grad(loss, tensors)` returns gradients and writes nothing into `.grad`. Whether they can be "
        "differentiated once more is decided by `create_graph`.",
        "`gradients = torch.autograd.grad(loss_of(weights), list(weights.values()), create_graph=not first_order)`, then "
        "a dict of `value - rate * gradient`, with `zip(weights.items(), gradients)`.",
    ),
    mistakes=(
        Mistake(lambda weights, loss_of, rate, first_order: _descend(weights, loss_of, rate, False),
                "First order whatever was asked for: without `create_graph=True` the gradient is a constant, dφ/dθ is the "
                "identity, and no error tells you. This is how MAML silently becomes FOMAML."),
        Mistake(lambda weights, loss_of, rate, first_order: _descend(weights, loss_of, rate, True),
                "Second order whatever was asked for: `first_order=True` should take the gradient for a constant, and spare "
                "the graph behind it."),
        Mistake(lambda weights, loss_of, rate, first_order: _descend(weights, loss_of, rate, first_order),
                "The flag is taken the wrong way round: `create_graph=not first_order`."),
        Mistake(lambda weights, loss_of, rate, first_order:
                _descend(weights, loss_of, rate, not first_order, slope=torch.neg),
                "The step goes uphill: θ minus the rate times the gradient."),
        Mistake(lambda weights, loss_of, rate, first_order: _descend(weights, loss_of, 1.0, not first_order),
                "The rate is not used."),
        Mistake(lambda weights, loss_of, rate, first_order:
                _descend(weights, loss_of, rate, not first_order, start=torch.detach),
                "θ is detached in θ − α∇L(θ): the identity in dφ/dθ = I − α∇²L is lost, and with it most of the "
                "meta-gradient."),
        Mistake(lambda weights, loss_of, rate, first_order:
                {name: value.detach() for name, value in _descend(weights, loss_of, rate, False).items()},
                "φ is cut off from θ (`.data`, `.detach()` or `no_grad`): the meta-gradient would be zero."),
        Mistake(lambda weights, loss_of, rate, first_order:
                _descend(weights, loss_of, rate, not first_order, start=torch.zeros_like),
                "This is the step alone, −α∇L(θ): θ is forgotten. φ = θ − α∇L(θ)."),
        Mistake(lambda weights, loss_of, rate, first_order:
                _descend(weights, loss_of, rate, not first_order, slope=lambda g: g / len(g)),
                "The loss is divided by the number of tasks: then the step shrinks with every task that stands beside. The "
                "gradient of `loss_of(weights)` as it is already holds each task's own."),
        Mistake(_read_from_grad,
                "`.grad` is None: `backward()` fills it for leaves alone, and these weights are computed, as those of every "
                "inner step but the first are. `torch.autograd.grad` returns the gradients of any tensor.",
                raises="NoneType"),
        Mistake(_first_alone, "Only the first entry of the dict moves; every parameter takes the step."),
        Mistake(_one_after_the_other,
                "The parameters step one after the other, the later ones on a loss that the earlier ones have changed. One "
                "call of `autograd.grad` gives all gradients at the same θ."),
        Mistake(lambda weights, loss_of, rate, first_order:
                _descend(weights, loss_of, rate, not first_order, slope=lambda g: g.mean(0, keepdim=True).expand_as(g)),
                "The gradients are averaged over the tasks: then all tasks take the same step, and nobody adapts. The "
                "gradient of the *sum* of the tasks' losses already is each task's own."),
    ),
    title="The inner step, in first and second order", difficulty=2, importance=5, minutes=10)


# --- meta_gradient ---------------------------------------------------------------------------------------------

def _meta_cases():
    def case(seed, size, rate, first_order):
        bend, target, other = normal(seed, size, size), normal(seed + 1, size), normal(seed + 2, size)

        def support_loss(weights):
            return ((bend @ weights - target) ** 2).sum() / size + 0.3 * (weights ** 3).sum()

        def query_loss(weights):
            return ((weights - other) ** 2).sum() + (0.5 * weights).sin().sum()

        return normal(seed + 3, size), support_loss, query_loss, rate, first_order
    return [case(100, 3, 0.2, False), case(110, 4, 0.1, True), case(120, 2, 0.3, False)]


def _pieces(weights, support_loss, query_loss, rate):
    """Start, slope of the support loss there, end, slope of the query loss there."""
    start = weights.detach().requires_grad_()
    [slope] = torch.autograd.grad(support_loss(start), start, create_graph=True)
    end = (start - rate * slope).detach().requires_grad_()
    [direction] = torch.autograd.grad(query_loss(end), end)
    return start, slope, end, direction


def _combined(weights, support_loss, query_loss, rate, first_order, factor):
    start, slope, _, direction = _pieces(weights, support_loss, query_loss, rate)
    if first_order:
        return direction
    return direction + factor * torch.autograd.grad(slope, start, direction)[0]


def _curvature_of(loss_and_place):
    def found(weights, support_loss, query_loss, rate, first_order):
        start, _, end, direction = _pieces(weights, support_loss, query_loss, rate)
        if first_order:
            return direction
        loss, place = loss_and_place(support_loss, query_loss, start, end)
        [slope] = torch.autograd.grad(loss(place), place, create_graph=True)
        return direction - rate * torch.autograd.grad(slope, place, direction)[0]
    return found


def _query_slope_at_start(weights, support_loss, query_loss, rate, first_order):
    start, slope, _, _ = _pieces(weights, support_loss, query_loss, rate)
    [direction] = torch.autograd.grad(query_loss(start), start)
    return direction if first_order else direction - rate * torch.autograd.grad(slope, start, direction)[0]


def _support_slope_at_end(weights, support_loss, query_loss, rate, first_order):
    start, slope, end, _ = _pieces(weights, support_loss, query_loss, rate)
    [direction] = torch.autograd.grad(support_loss(end), end)
    return direction if first_order else direction - rate * torch.autograd.grad(slope, start, direction)[0]


def _row_sums_of_curvature(weights, support_loss, query_loss, rate, first_order):
    start, slope, _, direction = _pieces(weights, support_loss, query_loss, rate)
    return direction if first_order else direction - rate * torch.autograd.grad(slope.sum(), start)[0] * direction


def _diagonal_of_curvature(weights, support_loss, query_loss, rate, first_order):
    start, _, _, direction = _pieces(weights, support_loss, query_loss, rate)
    bend = torch.autograd.functional.hessian(support_loss, start.detach()).diagonal()
    return direction if first_order else direction - rate * bend * direction


META = Exercise(
    id="05.meta_gradient",
    reference=meta_gradient,
    cases=_meta_cases,
    hints=(
        "Write φ(θ) = θ − α∇S(θ) and differentiate Q(φ(θ)) by the chain rule. Which factor is a matrix, and where is it "
        "evaluated?",
        "dφ/dθ = I − α∇²S(θ), so the answer is ∇Q(φ) − α ∇²S(θ) ∇Q(φ). In first order the second term is left out.",
        "A matrix is not needed: `torch.autograd.grad(slope, start, direction)` is ∇²S times direction, where slope is ∇S "
        "at start, taken with `create_graph=True`. (Or build φ in one graph and let autograd do the chain rule.)",
    ),
    mistakes=(
        Mistake(lambda weights, support_loss, query_loss, rate, first_order:
                _pieces(weights, support_loss, query_loss, rate)[3],
                "The first-order gradient, ∇Q(φ), even where the second order is asked for: the term −α∇²S(θ)∇Q(φ) is "
                "missing."),
        Mistake(lambda weights, support_loss, query_loss, rate, first_order:
                _combined(weights, support_loss, query_loss, rate, False, -rate),
                "`first_order` is not looked at: the second derivative is always there."),
        Mistake(lambda weights, support_loss, query_loss, rate, first_order:
                _combined(weights, support_loss, query_loss, rate, first_order, rate),
                "The sign of the curvature: φ = θ **−** α∇S(θ), so dφ/dθ = I **−** α∇²S(θ)."),
        Mistake(lambda weights, support_loss, query_loss, rate, first_order:
                _combined(weights, support_loss, query_loss, rate, first_order, -1.0),
                "The curvature is not multiplied by the rate α."),
        Mistake(lambda weights, support_loss, query_loss, rate, first_order:
                _combined(weights, support_loss, query_loss, rate, not first_order, -rate),
                "The flag is taken the wrong way round: in first order there is no curvature, otherwise there is."),
        Mistake(lambda weights, support_loss, query_loss, rate, first_order:
                meta_gradient(weights, support_loss, query_loss, -rate, first_order),
                "The inner step goes uphill: φ = θ **−** α∇S(θ)."),
        Mistake(lambda weights, support_loss, query_loss, rate, first_order:
                weights - rate * meta_gradient(weights, support_loss, query_loss, rate, first_order),
                "These are weights after a step. The gradient itself is asked for; whoever calls takes the step."),
        Mistake(_row_sums_of_curvature,
                "The gradient of `slope.sum()` holds the row sums of ∇²S; times the direction, entry by entry, that is no "
                "matrix product. Take the gradient of slope · direction: `torch.autograd.grad(slope, start, direction)`."),
        Mistake(_diagonal_of_curvature,
                "Of ∇²S only the diagonal is taken: how the weights bend together is in the entries beside it."),
        Mistake(lambda weights, support_loss, query_loss, rate, first_order:
                torch.autograd.grad(support_loss(weights), weights)[0],
                "A gradient was asked of something without a graph. Either of `weights`, which come without "
                "`requires_grad`: begin with `start = weights.detach().requires_grad_()`. Or of a slope that was taken "
                "without `create_graph=True`.", raises="does not require grad"),
        Mistake(_curvature_of(lambda support_loss, query_loss, start, end: (support_loss, end)),
                "The curvature of the support loss is taken at φ. The step was computed at θ: so is its derivative."),
        Mistake(_curvature_of(lambda support_loss, query_loss, start, end: (query_loss, end)),
                "The curvature is the query loss's. What bends the step is the loss that the step was taken on: the "
                "support loss."),
        Mistake(_query_slope_at_start,
                "The slope of the query loss is taken at θ, before the step. MAML asks how good the weights are *after* "
                "it: at φ."),
        Mistake(_support_slope_at_end,
                "The outer loss is the support loss again. Judged on the rows it was adapted to, the start that overfits "
                "fastest would win."),
        Mistake(lambda weights, support_loss, query_loss, rate, first_order:
                _combined(weights, support_loss, query_loss, rate, first_order, -rate)
                - _pieces(weights, support_loss, query_loss, rate)[3],
                "∇Q(φ) itself is missing: dφ/dθ is I − α∇²S, not −α∇²S alone."),
    ),
    title="MAML's gradient by hand", difficulty=4, importance=4, minutes=20)


# --- reptile_update --------------------------------------------------------------------------------------------

def _reptile_cases():
    return [(normal(200, 3, 2), normal(201, 4, 3, 2), 0.3), (normal(210, 5), normal(211, 3, 5), 0.8),
            (normal(220, 2, 2), normal(221, 5, 2, 2), 0.1)]


def _task_after_task(start, adapted, rate):
    for end in adapted:
        start = start + rate * (end - start)
    return start


REPTILE = Exercise(
    id="05.reptile_update",
    reference=reptile_update,
    cases=_reptile_cases,
    hints=(
        "Each task ended at some φ. From where the start is now, in which direction do they lie on average?",
        "The direction is the mean over tasks (dimension 0) of φ − θ. Go the fraction ε of it.",
        "`start + rate * (adapted.mean(0) - start)`",
    ),
    mistakes=(
        Mistake(lambda start, adapted, rate: start - rate * (adapted.mean(0) - start),
                "The start moves away from where the tasks ended. (θ − φ is the *gradient* for an optimizer, which "
                "subtracts it.)"),
        Mistake(lambda start, adapted, rate: start + rate * (adapted - start).sum(0),
                "The sum over tasks: then the step grows with the number of tasks, and overshoots. Take the mean."),
        Mistake(lambda start, adapted, rate: start + rate * (adapted.sum(0) - start),
                "The φ are summed, not averaged: the sum of T tasks lies T times as far out."),
        Mistake(lambda start, adapted, rate: rate * (adapted.mean(0) - start),
                "This is the step alone; it has to be added to the start."),
        Mistake(_task_after_task,
                "One task after the other moves the start: the last counts most, and the way is longer with every task. "
                "Measure φ − θ of all tasks from the same θ, and take their mean."),
        Mistake(lambda start, adapted, rate: start + 0 * rate + (adapted.mean(0) - start),
                "The rate is not used: the start jumps to the mean of the tasks' ends."),
        Mistake(lambda start, adapted, rate: start + rate * adapted.mean(0),
                "The mean of φ is added, not that of φ − θ: the start would drift even if no task moved."),
        Mistake(lambda start, adapted, rate: rate * start + (1 - rate) * adapted.mean(0),
                "ε and 1 − ε have changed places: with a small ε the start should hardly move."),
        Mistake(lambda start, adapted, rate: start + rate * (adapted[-1] - start),
                "Only the last task counts."),
        Mistake(lambda start, adapted, rate: start + rate * (adapted.mean() - start),
                "The mean runs over all entries, not over the tasks alone: every weight is drawn to one and the same "
                "number. Use `mean(0)`."),
        Mistake(lambda start, adapted, rate: start + rate * (adapted.mean(0) - start).sign(),
                "Only the signs are left: the step should be as long as the way is, times ε."),
    ),
    title="Reptile's update", difficulty=1, importance=4, minutes=5)


# --- split_episode ---------------------------------------------------------------------------------------------

def _split_cases():
    def case(seed, rows, shots, classes):
        y = torch.arange(rows) * classes // rows                                        # stored class by class
        x = normal(seed, rows, 2).float() + y.unsqueeze(-1)
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
        return x, y, order, shots, classes
    return [case(300, 9, 3, 3), case(310, 8, 5, 2), case(320, 12, 4, 5)]


def _split(support, query, counted=None):
    """Split by two functions of (order, shots); the share is counted on a third, or on the support."""
    def found(x, y, order, shots, classes):
        first, rest = support(order, shots), query(order, shots)
        rows = first if counted is None else counted(order, shots)
        share = torch.bincount(y[rows], minlength=classes) / len(rows)
        return x[first], y[first], x[rest], y[rest], share
    return found


def _head(order, shots):
    return order[:shots]


def _tail(order, shots):
    return order[shots:]


def _as_stored(order, shots):
    return torch.arange(shots)


def _targets_unshuffled(counted):
    """Leave the targets as they are stored; the share is counted on a function's rows of (order, shots)."""
    def found(x, y, order, shots, classes):
        support_x, _, query_x, _, _ = split_episode(x, y, order, shots, classes)
        share = torch.bincount(y[counted(order, shots)], minlength=classes) / shots
        return support_x, y[:shots], query_x, y[shots:], share
    return found


def _by_inverse(x, y, order, shots, classes):
    return split_episode(x, y, order.argsort(), shots, classes)


def _share_times(factor):
    """Multiply the share by a function of (order, shots, classes)."""
    def found(x, y, order, shots, classes):
        *parts, share = split_episode(x, y, order, shots, classes)
        return *parts, share * factor(order, shots, classes)
    return found


def _share_of_present_classes(x, y, order, shots, classes):
    *parts, share = split_episode(x, y, order, shots, classes)
    return *parts, share[:int(parts[1].max()) + 1]


SPLIT = Exercise(
    id="05.split_episode",
    reference=split_episode,
    cases=_split_cases,
    hints=(
        "What would somebody know who has seen the support only? Nothing else may go into the share, and no row into both "
        "parts.",
        "The first `shots` entries of `order` are the support's row numbers, the others the query's. Index x and y with "
        "the same ones.",
        "`support, query = order[:shots], order[shots:]`; the share is `torch.bincount(y[support], minlength=classes) / "
        "shots`.",
    ),
    mistakes=(
        Mistake(_split(lambda order, shots: order.sort().values[:shots], lambda order, shots: order.sort().values[shots:]),
                "The rows are split as they are stored. Here, as in two of the panels, they are stored class by class: the "
                "support then holds other classes than the query, and the place of a row gives its target away. Use "
                "`order`."),
        Mistake(_targets_unshuffled(_as_stored),
                "x follows `order`, y does not: rows and targets no longer belong together."),
        Mistake(_targets_unshuffled(_head),
                "x follows `order`, and so does the share, but the targets do not: rows and targets no longer belong "
                "together."),
        Mistake(_split(_head, _tail, _as_stored),
                "The share is counted over `y[:shots]`, the rows that are stored first. The support is `order[:shots]`."),
        Mistake(_by_inverse,
                "The rows go to the place that `order` names (`argsort`, or `x[order] = …` the other way round). `order` "
                "holds row numbers: `x[order]`."),
        Mistake(_split(_head, lambda order, shots: order),
                "The query holds all rows, the support's among them: part of the test is what was learned from."),
        Mistake(_split(_head, lambda order, shots: order[shots - 1:]),
                "The last row of the support is the first of the query: one row leaks."),
        Mistake(_split(_head, _tail, lambda order, shots: order),
                "The share is counted over all rows: it knows the answers of the query. Features of history are made from "
                "the support alone."),
        Mistake(_split(_head, _tail, _tail),
                "The share is counted over the query: those are the answers to be predicted."),
        Mistake(_split(lambda order, shots: order[-shots:], lambda order, shots: order[:-shots]),
                "The support is the last rows of `order`; it should be the first."),
        Mistake(_split(_tail, _head, _tail),
                "Support and query have changed places: `shots` is the size of the support."),
        Mistake(_split(_head, lambda order, shots: order[shots:].sort().values),
                "The right rows, but the query's stand in the order in which they are stored: leave them in the order of "
                "`order`, or their place tells the class again."),
        Mistake(_share_times(lambda order, shots, classes: shots),
                "Counts, not shares: divide by the number of support rows."),
        Mistake(_share_times(lambda order, shots, classes: shots / len(order)),
                "The counts are divided by the number of all rows: the shares do not sum to 1. Divide by `shots`."),
        Mistake(_share_times(lambda order, shots, classes: shots / classes),
                "The counts are divided by the number of classes. Divide by that of the support rows, `shots`."),
        Mistake(_share_of_present_classes,
                "The share ends with the highest class that occurs in the support. Classes that were never bought count, "
                "too: `minlength=classes`."),
    ),
    title="An episode without leakage", difficulty=2, importance=5, minutes=10)


# --- prototype_logits ------------------------------------------------------------------------------------------

def _proto_cases():
    def case(seed, labels, queries, size, classes):
        labels = torch.tensor(labels)
        support, query = normal(seed, *labels.shape, size), normal(seed + 1, len(labels), queries, size)
        return support.float().requires_grad_(), labels, query.float().requires_grad_(), classes
    return [case(400, [[0, 1, 2, 0, 1, 2, 0], [2, 1, 0, 0, 0, 1, 1]], 4, 3, 3), case(410, [[1, 0, 1, 1]], 3, 5, 2),
            case(420, [[0, 1, 1], [1, 0, 0], [0, 0, 1]], 2, 2, 2)]


def _apart(query, means):
    return query.unsqueeze(2) - means.unsqueeze(1)                                      # [T, Q, C, D]


def _by_means(logits):
    def found(support, labels, query, classes):
        return logits(query, prototypes(support, labels, classes))
    return found


def _pooled_means(support, labels, classes):
    means = prototypes(support.flatten(0, 1).unsqueeze(0), labels.flatten().unsqueeze(0), classes)
    return means.expand(len(support), -1, -1)


def _sums(support, labels, classes):
    members = (labels.unsqueeze(-1) == torch.arange(classes)).to(support.dtype)
    return members.transpose(1, 2) @ support                                            # [T, C, D]


def _over_examples(support, labels, query, classes):
    to_each = -_apart(query, support).square().sum(-1)                                  # [T, Q, S]
    return prototypes(to_each.transpose(1, 2), labels, classes).transpose(1, 2)


def _nearest_example(support, labels, query, classes):
    to_each = -_apart(query, support).square().sum(-1)                                  # [T, Q, S]
    members = labels.unsqueeze(-1) == torch.arange(classes)                             # [T, S, C]
    return to_each.unsqueeze(-1).masked_fill(~members.unsqueeze(1), -torch.inf).amax(2)


PROTO = Exercise(
    id="05.prototype_logits",
    reference=prototype_logits,
    cases=_proto_cases,
    hints=(
        "Two things: where is the middle of each class, and how far is each query from each middle?",
        "A one-hot matrix of the labels [T, S, C] turns sums over a class into one product: members.transpose(1, 2) @ "
        "support is [T, C, D]. Divide by how many rows each class has.",
        "`-(query.unsqueeze(2) - means.unsqueeze(1)).square().sum(-1)`: [T, Q, 1, D] against [T, 1, C, D].",
    ),
    mistakes=(
        Mistake(_by_means(lambda query, means: _apart(query, means).square().sum(-1)),
                "The sign: a logit must be highest where the distance is least."),
        Mistake(_by_means(lambda query, means: -_apart(query, means).square().sum(-1).sqrt()),
                "The distance is not squared. Squared, the logits are linear in the embedding (and a Gaussian's "
                "log-likelihood); with the root they are not."),
        Mistake(_by_means(lambda query, means: -_apart(query, means).abs().sum(-1)),
                "The sum of absolute differences; what is asked for is that of their squares."),
        Mistake(_by_means(lambda query, means: -_apart(query, means).square().mean(-1)),
                "The mean over dimensions is a softmax with temperature D: sum them."),
        Mistake(_by_means(lambda query, means: query @ means.transpose(1, 2)),
                "A dot product: −‖z − c‖² = 2 z·c − ‖c‖² − ‖z‖², so the −‖c‖², which keeps a far-off prototype from "
                "winning everything, is lost."),
        Mistake(_by_means(lambda query, means:
                          2 * query @ means.transpose(1, 2) - means.square().sum(-1).unsqueeze(1)),
                "2 z·c − ‖c‖²: the same probabilities, for −‖z‖² is the same for all classes of a query, but other logits. "
                "−‖z − c‖² has it."),
        Mistake(_by_means(lambda query, means: torch.cosine_similarity(query.unsqueeze(2), means.unsqueeze(1), dim=-1)),
                "The cosine. Matching networks use it; a ProtoNet takes the squared distance."),
        Mistake(lambda support, labels, query, classes:
                -_apart(query, _sums(support, labels, classes)).square().sum(-1),
                "The classes' examples are summed, not averaged: a class with more examples lies further out."),
        Mistake(lambda support, labels, query, classes:
                -_apart(query, _sums(support, labels, classes) * classes / labels.shape[1]).square().sum(-1),
                "Every class is taken to have S / C examples. They need not be equally many: count them."),
        Mistake(lambda support, labels, query, classes:
                -_apart(query, _sums(support, labels, classes) / labels.shape[1]).square().sum(-1),
                "The sum over a class is divided by the size of the whole support (`mean` over masked rows does so). Divide "
                "by the number of the class's own examples."),
        Mistake(lambda support, labels, query, classes: prototype_logits(support, labels[:1].expand_as(labels), query, classes),
                "The labels of the first task are used for all. Every task has labels of its own."),
        Mistake(lambda support, labels, query, classes:
                -_apart(query, _pooled_means(support, labels, classes)).square().sum(-1),
                "The means are taken over all tasks. Class 0 of one task has nothing to do with class 0 of another."),
        Mistake(_over_examples,
                "The mean of the squared distances to a class's examples: it is larger than that to their mean by the "
                "class's own spread. Average first, then measure."),
        Mistake(_nearest_example,
                "The distance to the nearest example of each class: that is nearest neighbour. A ProtoNet measures to the "
                "mean."),
        Mistake(_by_means(lambda query, means: (-_apart(query, means).square().sum(-1)).log_softmax(-1)),
                "These are log-probabilities. Return logits; the loss takes the softmax."),
        Mistake(_by_means(lambda query, means: (-_apart(query, means).square().sum(-1)).softmax(-1)),
                "These are probabilities. Return logits; the loss takes the softmax."),
    ),
    title="A ProtoNet's logits", difficulty=2, importance=4, minutes=10)


EXERCISES = (INNER, META, REPTILE, SPLIT, PROTO)
