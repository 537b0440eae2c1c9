"""The exercises of lesson 03, with the mistakes that learners make and what to tell them."""

import numpy as np
import torch

from mtl_tutorial.classroom.cases import linear, normal
from mtl_tutorial.classroom.exercise import Exercise, Mistake
from mtl_tutorial.evaluation import auc, gauc
from mtl_tutorial.layers.partitioned_norm import moments_by_scenario, normalise, partitioned_normalise
from mtl_tutorial.models.pepnet import prior_gate
from mtl_tutorial.models.star import compose_star_weights

# --- compose_star_weights --------------------------------------------------------------------------------------

def _star_cases():
    def case(seed, scenarios, inputs, outputs):
        return (normal(seed, inputs, outputs, grad=True), normal(seed + 1, outputs, grad=True),
                normal(seed + 2, scenarios, inputs, outputs, grad=True), normal(seed + 3, scenarios, outputs, grad=True))
    return [case(0, 3, 4, 4), case(10, 2, 3, 3), case(20, 4, 2, 2)]


COMPOSE = Exercise(
    id="03.compose_star_weights",
    reference=compose_star_weights,
    cases=_star_cases,
    hints=(
        "What should a scenario's layer be while nothing of its own has been learned, with own weights at one and own "
        "biases at zero?",
        "Weights are multiplied entry by entry, biases are added. No matrix product anywhere.",
        "[I, O] against [S, I, O]: broadcasting puts the centre in front of every scenario by itself.",
    ),
    mistakes=(
        Mistake(lambda shared_weight, shared_bias, own_weight, own_bias:
                (shared_weight + own_weight, shared_bias + own_bias),
                "The weights are added. In STAR a scenario scales each of the centre's weights: a product, entry by "
                "entry; only the biases are added. (Several public implementations add them.)"),
        Mistake(lambda shared_weight, shared_bias, own_weight, own_bias:
                (shared_weight * own_weight, shared_bias * own_bias),
                "The biases are multiplied, too: with own biases that start at zero every scenario loses the centre's."),
        Mistake(lambda shared_weight, shared_bias, own_weight, own_bias:
                (shared_weight @ own_weight, shared_bias + own_bias),
                "A matrix product of the weights. It is two layers in a row; STAR's product is entry by entry."),
        Mistake(lambda shared_weight, shared_bias, own_weight, own_bias:
                (shared_weight * (1 + own_weight), shared_bias + own_bias),
                "The own weight is taken for a deviation from one. Here it is the factor itself, and starts at one."),
        Mistake(lambda shared_weight, shared_bias, own_weight, own_bias: (own_weight, shared_bias + own_bias),
                "The centre's weights are not used: these are separate networks, and a scenario with few rows borrows "
                "nothing."),
        Mistake(lambda shared_weight, shared_bias, own_weight, own_bias:
                (shared_weight * own_weight[:1].expand_as(own_weight), shared_bias + own_bias),
                "Every scenario gets scenario 0's factors."),
        Mistake(lambda shared_weight, shared_bias, own_weight, own_bias:
                (shared_weight.detach() * own_weight, shared_bias.detach() + own_bias),
                "The centre is detached: the scenarios would not teach it, and the centre is what they share."),
        Mistake(lambda shared_weight, shared_bias, own_weight, own_bias: (shared_weight * own_weight, own_bias),
                "The centre's bias is left out."),
    ),
    title="STAR's weights", difficulty=2, importance=5, minutes=8)


# --- partitioned_normalise -------------------------------------------------------------------------------------

def _normalise_cases():
    def case(seed, scenario, scenarios, eps):
        rows = torch.tensor(scenario)
        x = (normal(seed, len(rows), 3) * (1 + rows.unsqueeze(-1)) + 4 * rows.unsqueeze(-1)).detach()
        return x.requires_grad_(), rows, scenarios, eps
    return [case(30, [0, 1, 0, 1, 1, 0, 0, 1, 1], 2, 1e-5), case(40, [2, 0, 2, 2, 0, 0, 2], 3, 0.5),
            case(50, [1, 3, 1, 0, 1, 1, 3], 4, 0.1)]


def _with(statistics):
    def normalised(x, scenario, scenarios, eps):
        return normalise(x, scenario, *statistics(x, *moments_by_scenario(x, scenario, scenarios)), eps)
    return normalised


def _mean_of_scenario_means(x, rows, mean, variance):
    present = rows > 0
    return mean[present].mean(0).expand_as(mean), variance[present].mean(0).expand_as(variance)


def _scenario_by_scenario(of_one, known=None):
    """Apply a function of a scenario's rows [N, H] and eps to the scenarios one by one, rows put back in their places."""
    def normalised(x, scenario, scenarios, eps):
        result = torch.zeros_like(x)
        for s in range(known or scenarios):
            rows = scenario == s
            if rows.any():
                result = result.index_put((rows,), of_one(x[rows], eps))
        return result
    return normalised


def _normalise_one(x, eps):
    return (x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + eps)


def _normalise_unbiased(x, eps):
    centred = x - x.mean(0)
    return centred / torch.sqrt(centred.square().sum(0) / torch.tensor(len(x) - 1.0) + eps)


PARTITION = Exercise(
    id="03.partitioned_normalise",
    reference=partitioned_normalise,
    cases=_normalise_cases,
    hints=(
        "Whose mean is subtracted from a row of search? And whose variance divides it?",
        "A loop will do: for each scenario, take its rows by a mask, and put their normalised values in their places. "
        "Skip scenarios without rows.",
        "Divide by `torch.sqrt(variance + eps)`, the variance with `unbiased=False`, as batch normalisation does.",
    ),
    mistakes=(
        Mistake(lambda x, scenario, scenarios, eps:
                (x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + eps),
                "The statistics are pooled over all scenarios: that is ordinary batch normalisation, and the large "
                "scenario decides where the small one's zero is. Widely used implementations of STAR do just this."),
        Mistake(_with(lambda x, rows, mean, variance: (mean, x.var(0, unbiased=False).expand_as(variance))),
                "The means are each scenario's own, but the variance is pooled over all."),
        Mistake(_with(lambda x, rows, mean, variance: (x.mean(0).expand_as(mean), variance)),
                "The variances are each scenario's own, but the mean is pooled over all."),
        Mistake(_with(lambda x, rows, mean, variance:
                      (mean, variance * (rows / (rows - 1).clamp(min=1)).unsqueeze(-1))),
                "The variance is divided by n − 1. Batch normalisation divides by n, for the rows of a batch are all "
                "there is to normalise (its running variance is the unbiased one)."),
        Mistake(_scenario_by_scenario(_normalise_unbiased),
                "`var` divides by n − 1 unless told `unbiased=False`; a scenario with a single row is then divided by "
                "zero, and its row is NaN."),
        Mistake(_scenario_by_scenario(lambda x, eps: (x - x.mean(0)) / (x.var(0, unbiased=False).sqrt() + eps)),
                "ε stands outside the root. It is added to the variance, √(σ² + ε): outside, the gradient of the root "
                "is infinite where a column does not vary."),
        Mistake(_scenario_by_scenario(lambda x, eps: (x - x.mean()) / torch.sqrt(x.var(unbiased=False) + eps)),
                "One mean and one variance for all columns of a scenario: columns have units of their own, so take "
                "both over the rows alone, `dim=0`."),
        Mistake(lambda x, scenario, scenarios, eps:
                torch.cat([_normalise_one(x[scenario == s], eps) for s in range(scenarios) if (scenario == s).any()]),
                "The values are right and in another order: the scenarios' blocks were put one behind the other. Write "
                "each back to the places its rows came from."),
        Mistake(_scenario_by_scenario(lambda x, eps: _normalise_one(x, eps) if len(x) > 1 else x),
                "A scenario with one row leaves that row as it came. Here the formula holds for it as well: it is its "
                "own mean, so the result is 0. (The package's layer takes its running statistics instead.)"),
        Mistake(_scenario_by_scenario(_normalise_one, known=3),
                "Only the scenarios 0, 1 and 2 are normalised: `scenarios` says how many there are."),
        Mistake(_with(lambda x, rows, mean, variance: (mean.detach(), variance.detach())),
                "The statistics are detached, as running statistics are. In training the gradient flows through the "
                "batch's mean and variance; without it the network drifts after them."),
        Mistake(lambda x, scenario, scenarios, eps:
                (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + eps),
                "Mean and variance run over a row's features: that is layer normalisation. Here they run over the rows "
                "of a scenario."),
        Mistake(lambda x, scenario, scenarios, eps: x - moments_by_scenario(x, scenario, scenarios)[1][scenario],
                "Centred, but not divided by the standard deviation."),
        Mistake(lambda x, scenario, scenarios, eps:
                (x - moments_by_scenario(x, scenario, scenarios)[1][scenario])
                / (moments_by_scenario(x, scenario, scenarios)[2][scenario] + eps),
                "Divided by the variance; it is its square root."),
        Mistake(_with(_mean_of_scenario_means),
                "Each scenario's statistics are found, and then averaged over the scenarios: a row still meets "
                "others' mean."),
    ),
    title="Partitioned normalisation", difficulty=3, importance=5, minutes=12)


# --- prior_gate ------------------------------------------------------------------------------------------------

def _gate_cases():
    def case(seed, rows, prior, inputs, hidden, outputs):
        return (normal(seed, rows, prior, grad=True), normal(seed + 1, rows, inputs, grad=True),
                linear(seed + 2, prior + inputs, hidden), linear(seed + 4, hidden, outputs))
    return [case(60, 4, 2, 3, 5, 3), case(70, 3, 3, 2, 4, 2), case(80, 1, 2, 2, 6, 4)]


def _hidden(prior, embedding, first):
    return first(torch.cat([prior, embedding.detach()], -1)).relu()


GATE = Exercise(
    id="03.prior_gate",
    reference=prior_gate,
    cases=_gate_cases,
    hints=(
        "The factors multiply hidden units. What range lets them leave a unit alone, silence it, or amplify it?",
        "Concatenate the prior and the embedding, then first, ReLU, second, sigmoid, times 2.",
        "The gate reads the embedding and must not teach it: `.detach()` on the embedding, and on nothing else.",
    ),
    mistakes=(
        Mistake(lambda prior, embedding, first, second:
                2 * second(first(torch.cat([prior, embedding], -1)).relu()).sigmoid(),
                "Without the stop-gradient: the values are right, but the gate's gradient flows into the embedding that "
                "every scenario shares. Compare the gradients."),
        Mistake(lambda prior, embedding, first, second: second(_hidden(prior, embedding, first)).sigmoid(),
                "The factor 2 is missing: the gate can only quieten. At its start it would halve every layer instead of "
                "leaving it as it is."),
        Mistake(lambda prior, embedding, first, second:
                2 * second(first(torch.cat([prior.detach(), embedding.detach()], -1)).relu()).sigmoid(),
                "The prior is detached as well: what tells the rows apart would never be learned from the gate. The "
                "stop-gradient is on the embedding alone."),
        Mistake(lambda prior, embedding, first, second:
                2 * second(first(torch.cat([prior, embedding.detach()], -1))).sigmoid(),
                "The ReLU between the two layers is missing: two linear layers in a row are one."),
        Mistake(lambda prior, embedding, first, second:
                2 * second(first(torch.cat([prior, embedding.detach()], -1))).relu().sigmoid(),
                "The ReLU comes after the second layer, not after the first: then no factor is below 1, and the gate "
                "can only amplify."),
        Mistake(lambda prior, embedding, first, second:
                2 * second(first(torch.cat([embedding.detach(), prior], -1)).relu()).sigmoid(),
                "Embedding and prior are put together in the other order: the first layer expects the prior first."),
        Mistake(lambda prior, embedding, first, second: 2 * second(_hidden(prior, embedding, first)).softmax(-1),
                "A softmax makes the units compete for a sum of 2; each factor is free by itself: use the sigmoid."),
        Mistake(lambda prior, embedding, first, second: 1 + second(_hidden(prior, embedding, first)).tanh(),
                "The range is right, the curve is not: 2σ(z) = 1 + tanh(z/2)."),
        Mistake(lambda prior, embedding, first, second: 2 * second(_hidden(prior, embedding, first)),
                "The sigmoid is missing: factors may become negative or grow without bound."),
        Mistake(lambda prior, embedding, first, second:
                2 * second(_hidden(prior, torch.zeros_like(embedding), first)).sigmoid(),
                "The gate does not read the embedding: it sees who the row is from, not what it is about."),
        Mistake(lambda prior, embedding, first, second:
                2 * second(_hidden(prior, embedding, first)).sigmoid().detach(),
                "The result is detached: then the gate itself never learns."),
    ),
    title="PPNet's gate", difficulty=2, importance=4, minutes=10)


# --- gauc ------------------------------------------------------------------------------------------------------

def _gauc_cases():
    def case(seed, sizes, one_class=()):
        draw = np.random.default_rng(seed)
        groups = np.repeat(np.arange(len(sizes)), sizes)
        labels = (draw.random(len(groups)) < 0.4).astype(float)
        for group in range(len(sizes)):
            labels[np.flatnonzero(groups == group)[:2]] = [1.0, 0.0]
        for group, label in one_class:
            labels[groups == group] = label
        scores = np.round(draw.random(len(groups)) + 0.2 * labels + groups / len(sizes), 1)     # rounded: some are equal
        order = draw.permutation(len(groups))
        return labels[order], scores[order], groups[order]
    return [case(1, (12, 4, 7)), case(2, (9, 15, 5, 6), [(1, 0.0)]), case(3, (6, 20, 4), [(2, 1.0)])]


def _per_group(labels, scores, groups):
    """Yield each group's labels and AUC, NaN where its labels are all equal."""
    for group in np.unique(groups):
        rows = groups == group
        yield labels[rows], auc(labels[rows], scores[rows])


def _left_out(own):
    """Return no area for a group of one class."""
    return None


def _averaged(weigh, of_one_class=_left_out, over_all=False):
    def average(labels, scores, groups):
        total = weights = 0.0
        for own, area in _per_group(labels, scores, groups):
            if np.isnan(area):
                area = of_one_class(own)
            if area is None:
                weights += weigh(own) * over_all
                continue
            total += weigh(own) * area
            weights += weigh(own)
        return float(total / weights)
    return average


def _ties_count(worth):
    def average(labels, scores, groups):
        total = weights = 0.0
        for group in np.unique(groups):
            rows = groups == group
            positive, negative = scores[rows & (labels == 1)][:, None], scores[rows & (labels == 0)]
            if positive.size and negative.size:
                total += rows.sum() * ((positive > negative) + worth * (positive == negative)).mean()
                weights += rows.sum()
        return float(total / weights)
    return average


GAUC = Exercise(
    id="03.gauc",
    reference=gauc,
    cases=_gauc_cases,
    hints=(
        "For one user: which rows are compared with which?",
        "`np.unique(groups)`, and in each group `roc_auc_score` of its rows; a group whose labels are all equal has no "
        "AUC: leave it out, of the sum and of the weights.",
        "Average with the number of rows of each group as weight: `np.average(areas, weights=sizes)`.",
    ),
    mistakes=(
        Mistake(_averaged(lambda own: 1),
                "Every group counts the same; GAUC weighs each with its rows. (An unweighted mean is dominated by users "
                "with a handful of impressions.)"),
        Mistake(_averaged(len, of_one_class=lambda own: 0.5),
                "Groups whose labels are all equal are counted as 0.5. They have no AUC: leave them out, or the metric "
                "falls when users without a click come in."),
        Mistake(_averaged(len, of_one_class=lambda own: 1.0 if own.all() else None),
                "Groups in which everything was clicked are counted as 1, as if ordered without a mistake. There is "
                "nothing to order: leave them out."),
        Mistake(_averaged(len, of_one_class=lambda own: np.nan),
                "One group without a click, or without a non-click, makes the whole average NaN: it has no AUC. Leave "
                "such groups out, of the sum and of the weights."),
        Mistake(_averaged(len, over_all=True),
                "Groups whose labels are all equal are left out of the sum, but not of the weights: the average is too "
                "small."),
        Mistake(lambda labels, scores, groups: auc(labels, scores),
                "This is the AUC over all rows: it also compares rows of different groups, which no page ever does."),
        Mistake(_averaged(lambda own: own.sum()),
                "Weighted with each group's clicks. The paper allows impressions or clicks; here it is rows."),
        Mistake(_averaged(lambda own: own.sum() * (len(own) - own.sum())),
                "Weighted with each group's pairs of a click and a non-click. That is the AUC of all pairs within "
                "groups, in which long lists count by the square; GAUC weighs with rows."),
        Mistake(_ties_count(0), "Equal scores count as lost. In an AUC a tie counts one half: otherwise a constant score would "
                                "get 0 instead of 0.5."),
        Mistake(_ties_count(1), "Equal scores count as won. In an AUC a tie counts one half: otherwise a constant score "
                                "would be perfect."),
        Mistake(lambda labels, scores, groups: 1 - gauc(labels, scores, groups),
                "Upside down: the chance that a negative row outscores a positive one."),
    ),
    title="GAUC", difficulty=2, importance=5, minutes=10)


EXERCISES = (COMPOSE, PARTITION, GATE, GAUC)
