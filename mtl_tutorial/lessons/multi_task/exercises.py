"""The exercises of lesson 01, with the mistakes that learners make and what to tell them."""

import torch
from torch import nn
from torch.nn import functional as F

from mtl_tutorial.classroom.cases import linear, normal
from mtl_tutorial.classroom.exercise import Exercise, Mistake
from mtl_tutorial.evaluation import multi_task_gain
from mtl_tutorial.layers.gates import mix_experts, mix_shared_and_own
from mtl_tutorial.models.esmm import esmm_losses, product_logit
from mtl_tutorial.models.shared_bottom import shared_bottom_forward
from mtl_tutorial.tasks import masked_mean, weighted_loss

# --- shared_bottom_forward -------------------------------------------------------------------------------------

def _shared_bottom_cases():
    def case(seed, rows):
        body = nn.Sequential(linear(seed, 4, 4), nn.ReLU())
        towers = nn.ModuleDict({"click": linear(seed + 2, 4, 1), "purchase": linear(seed + 4, 4, 1)})
        return normal(seed + 6, rows, 4, grad=True), body, towers
    return [case(0, 5), case(10, 2), case(20, 1)]


SHARED_BOTTOM = Exercise(
    id="01.shared_bottom_forward",
    reference=shared_bottom_forward,
    cases=_shared_bottom_cases,
    hints=(
        "How many times should the body run, if there are K towers?",
        "Keep the body's output in a variable; a dict comprehension over `towers.items()` does the rest.",
        "A tower gives [B, 1]; a logit per row is [B]: `tower(shared).squeeze(-1)`.",
    ),
    mistakes=(
        Mistake(lambda x, body, towers: {task: tower(x).squeeze(-1) for task, tower in towers.items()},
                "The towers read x itself, not what the body made of it: nothing is shared."),
        Mistake(lambda x, body, towers: {task: tower(body(x)) for task, tower in towers.items()},
                "The towers' outputs are still [B, 1]; a column that is not squeezed turns [B, 1] − [B] into a "
                "[B, B] loss without any error."),
        Mistake(lambda x, body, towers: {task: next(iter(towers.values()))(body(x)).squeeze(-1) for task in towers},
                "Every task reads the first tower: the towers are what tasks do not share."),
        Mistake(lambda x, body, towers: {task: tower(body(x)).squeeze(-1).sigmoid()
                                         for task, tower in towers.items()},
                "These are probabilities. Models here emit logits: the loss applies the sigmoid itself, and twice is "
                "once too often."),
        Mistake(lambda x, body, towers: {task: tower(body(body(x))).squeeze(-1) for task, tower in towers.items()},
                "The body runs twice in a row, on its own output."),
    ),
    title="The shared bottom", difficulty=1, importance=4, minutes=5, sparing=("body",))


# --- weighted_loss ---------------------------------------------------------------------------------------------

def _weighted_loss_cases():
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 0, 0]], dtype=torch.bool)
    nothing_bought = torch.tensor([[1, 0], [1, 0]], dtype=torch.bool)
    weights = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    never_bought = normal(33, 3, 2)
    never_bought[1, 1] = torch.nan                                      # a price that nobody paid has no logarithm
    return [(normal(30, 4, 3, grad=True), mask, weights),
            (normal(31, 2, 2, grad=True), nothing_bought, weights[:2]),
            (normal(32, 3, 3, grad=True), torch.ones(3, 3, dtype=torch.bool), 3 * weights),
            (never_bought.requires_grad_(), never_bought.isfinite(), weights[:2])]


WEIGHTED_LOSS = Exercise(
    id="01.weighted_loss",
    reference=weighted_loss,
    cases=_weighted_loss_cases,
    hints=(
        "Each L_k is a mean over the rows that have a label for task k. How many are those?",
        "`torch.where(mask, row_losses, 0.0).sum(0)` is the sum over observed rows, `mask.sum(0)` their number.",
        "A batch may hold no label of a task at all: `mask.sum(0).clamp(min=1)` avoids 0/0. Then weigh and add.",
    ),
    mistakes=(
        Mistake(lambda row_losses, mask, weights: torch.where(mask, row_losses, 0.0).mean(0) @ weights,
                "Each task's sum is divided by all B rows, not by the rows that have its label: rare labels "
                "(purchases) are weighed down by their rarity."),
        Mistake(lambda row_losses, mask, weights: row_losses.mean(0) @ weights,
                "The mask is not used: rows without a label are taught whatever stands in their place."),
        Mistake(lambda row_losses, mask, weights: masked_mean(row_losses, mask) @ weights / weights.sum(),
                "The weights are normalised to sum 1; the formula is Σ_k w_k L_k as it stands."),
        Mistake(lambda row_losses, mask, weights: masked_mean(row_losses, mask) @ weights / len(weights),
                "A mean over the K tasks; the formula adds them up: a sixth task must not quieten the other five."),
        Mistake(lambda row_losses, mask, weights: masked_mean(row_losses, mask).sum(),
                "The weights are not used."),
        Mistake(lambda row_losses, mask, weights: (row_losses * mask).sum(0) / mask.sum(0).clamp(min=1) @ weights,
                "The mask is multiplied on, and 0 · NaN is NaN: where a label is missing its loss may be anything. "
                "Choose with `torch.where` instead."),
        Mistake(lambda row_losses, mask, weights: (torch.where(mask, row_losses, 0.0) * weights).sum() / mask.sum(),
                "All labels of all tasks are pooled into one mean: a task with ten times the labels gets ten times "
                "the say, whatever its weight."),
    ),
    title="The weighted loss with missing labels", difficulty=2, importance=5, minutes=10)


# --- mix_experts -----------------------------------------------------------------------------------------------

def _mix_cases():
    return [(normal(40, 5, 3, 4, grad=True), normal(41, 5, 2, 3, grad=True)),
            (normal(42, 3, 3, 2, grad=True), normal(43, 3, 3, 3, grad=True)),
            (normal(44, 2, 4, 3, grad=True), 3 * normal(45, 2, 1, 4, grad=True).detach().requires_grad_())]


MIX_EXPERTS = Exercise(
    id="01.mix_experts",
    reference=mix_experts,
    cases=_mix_cases,
    hints=(
        "For one row and one task, the weights over the experts are positive and sum to 1.",
        "Which axis of [B, T, E] runs over the experts? The softmax goes there.",
        "[B, T, E] times [B, E, H] is a batched product: `weights @ expert_outputs`.",
    ),
    mistakes=(
        Mistake(lambda expert_outputs, gate_logits: gate_logits.softmax(0) @ expert_outputs,
                "The softmax runs over the batch, not over the experts: a row's prediction would depend on its "
                "neighbours."),
        Mistake(lambda expert_outputs, gate_logits: gate_logits.softmax(1) @ expert_outputs,
                "The softmax runs over the tasks, not over the experts: tasks compete for an expert."),
        Mistake(lambda expert_outputs, gate_logits: gate_logits @ expert_outputs,
                "The gate's logits are used as weights: without a softmax they are not positive and do not sum to 1."),
        Mistake(lambda expert_outputs, gate_logits: gate_logits.sigmoid() @ expert_outputs,
                "A sigmoid gates each expert by itself; MMoE's weights compete: they sum to 1."),
        Mistake(lambda expert_outputs, gate_logits: gate_logits.mean(1, keepdim=True).softmax(-1).expand_as(
                    gate_logits) @ expert_outputs,
                "All tasks use one and the same gate: that is OMoE, MMoE's control."),
    ),
    title="Mix the experts", difficulty=2, importance=5, minutes=10)


# --- ple_gate --------------------------------------------------------------------------------------------------

def _ple_cases():
    return [(normal(50, 4, 2, 3, grad=True), normal(51, 4, 2, 2, 3, grad=True), normal(52, 4, 2, 4, grad=True)),
            (normal(53, 3, 2, 2, grad=True), normal(54, 3, 3, 2, 2, grad=True), normal(55, 3, 3, 4, grad=True))]


def _swapped(shared, own, gate_logits):
    return mix_shared_and_own(shared, own, torch.cat([gate_logits[..., own.shape[2]:],
                                                      gate_logits[..., :own.shape[2]]], -1))


def _mixed_by(weigh):
    def mix(shared, own, gate_logits):
        for_own, for_shared = weigh(gate_logits).split([own.shape[2], shared.shape[1]], -1)
        return torch.einsum("btp,btph->bth", for_own, own) + for_shared @ shared
    return mix


def _two_softmaxes(shared, own, gate_logits):
    for_own, for_shared = (part.softmax(-1) for part in gate_logits.split([own.shape[2], shared.shape[1]], -1))
    return torch.einsum("btp,btph->bth", for_own, own) + for_shared @ shared


PLE_GATE = Exercise(
    id="01.ple_gate",
    reference=mix_shared_and_own,
    cases=_ple_cases,
    hints=(
        "One softmax over all P + S logits of a task: own and shared experts compete.",
        "`weights.split([P, S], -1)` parts them again: the first P weigh the task's own experts, the rest the shared.",
        "Own experts differ by task: `torch.einsum('btp,btph->bth', ...)`; shared ones do not: `for_shared @ shared`.",
    ),
    mistakes=(
        Mistake(_swapped, "The gate's first logits are given to the shared experts; they belong to the task's own."),
        Mistake(_two_softmaxes, "Own and shared experts have a softmax each: their weights sum to 2, and the gate "
                                "cannot say 'rely on the shared ones'."),
        Mistake(_mixed_by(lambda logits: logits),
                "The gate's logits are used as weights: without a softmax they are not positive and do not sum to 1."),
        Mistake(_mixed_by(lambda logits: logits.softmax(1)),
                "The softmax runs over the tasks, not over the experts: the weights of one task do not sum to 1."),
        Mistake(lambda shared, own, gate_logits: mix_shared_and_own(
                    shared, own[:, :1].expand_as(own), gate_logits),
                "Every task reads task 0's own experts."),
        Mistake(lambda shared, own, gate_logits: mix_shared_and_own(
                    shared, own.mean(1, keepdim=True).expand_as(own), gate_logits),
                "Every task reads all tasks' own experts (their mean): in PLE a task never sees another's."),
        Mistake(lambda shared, own, gate_logits: torch.einsum(
                    "btp,btph->bth", gate_logits.softmax(-1)[..., :own.shape[2]], own),
                "The shared experts are left out."),
    ),
    title="PLE's gate", difficulty=3, importance=4, minutes=12)


# --- esmm_losses -----------------------------------------------------------------------------------------------

def _esmm_cases():
    click, purchase = torch.tensor([1.0, 1, 0, 0, 1, 0]), torch.tensor([1.0, 0, 0, 0, 1, 0])
    extreme = torch.tensor([20.0, -20.0, 25.0, 1.0, 18.0, -30.0])       # float32, as labels and logits are in training
    return [(*(normal(seed, 6).float().requires_grad_() for seed in (60, 61)), click, purchase),
            (extreme.clone().requires_grad_(), extreme.flip(0).clone().requires_grad_(), click, purchase)]


def _clicked_only(click_logit, conversion_logit, click, purchase):
    rows = F.binary_cross_entropy_with_logits(conversion_logit, purchase, reduction="none")
    return torch.stack([F.binary_cross_entropy_with_logits(click_logit, click), (rows * click).sum() / click.sum()])


def _product_on_clicked_rows(click_logit, conversion_logit, click, purchase):
    rows = F.binary_cross_entropy_with_logits(product_logit(click_logit, conversion_logit), purchase, reduction="none")
    return torch.stack([F.binary_cross_entropy_with_logits(click_logit, click), (rows * click).sum() / click.sum()])


def _purchase_term(logit):
    def losses(click_logit, conversion_logit, click, purchase):
        return torch.stack([F.binary_cross_entropy_with_logits(click_logit, click),
                            F.binary_cross_entropy_with_logits(logit(click_logit, conversion_logit), purchase)])
    return losses


def _through_probabilities(click_logit, conversion_logit, click, purchase):
    p_click, p_purchase = click_logit.sigmoid(), click_logit.sigmoid() * conversion_logit.sigmoid()
    return torch.stack([F.binary_cross_entropy(p_click, click), F.binary_cross_entropy(p_purchase, purchase)])


def _product_through_probabilities(click_logit, conversion_logit, click, purchase):
    p_purchase = click_logit.sigmoid() * conversion_logit.sigmoid()
    return torch.stack([F.binary_cross_entropy_with_logits(click_logit, click),
                        F.binary_cross_entropy(p_purchase, purchase)])


ESMM_LOSSES = Exercise(
    id="01.esmm_losses",
    reference=esmm_losses,
    cases=_esmm_cases,
    hints=(
        "Which rows does the second loss run over, and what is its label? Not the clicked rows, and not 'converted'.",
        "P(purchase) = P(click) · P(purchase | click): the second loss is a cross-entropy of that product.",
        "Stay on the logarithmic scale: 1/p − 1 = e^−a + e^−b + e^−(a+b), so the product's logit is "
        "`-torch.logsumexp(torch.stack([-a, -b, -a - b]), 0)`; then `binary_cross_entropy_with_logits`.",
    ),
    mistakes=(
        Mistake(_clicked_only, "The conversion loss runs over clicked rows only: that is the biased model ESMM was "
                               "made to replace."),
        Mistake(_product_on_clicked_rows, "The product is right, but its loss runs over clicked rows only: unclicked "
                                          "impressions teach conversion nothing, and that is what ESMM is for."),
        Mistake(lambda *arguments: len(arguments[0]) * esmm_losses(*arguments),
                "The losses are summed over the rows, not averaged: the step would grow with the batch."),
        Mistake(_purchase_term(lambda a, b: b), "The purchase label is compared with P(purchase | click) itself, over "
                                                "rows that were mostly never clicked; compare it with the product."),
        Mistake(_purchase_term(lambda a, b: a * b), "The logits are multiplied; it is the probabilities that multiply."),
        Mistake(_purchase_term(lambda a, b: a + b), "The logits are added: σ(a + b) is not σ(a) · σ(b)."),
        Mistake(_purchase_term(lambda a, b: product_logit(a.detach(), b)),
                "The click logit is detached in the product: the purchases no longer teach the click tower, "
                "which in ESMM they do."),
        Mistake(_through_probabilities, "Right on paper, but computed through probabilities: the sigmoid of a logit "
                                        "above 17 rounds to 1 in float32, and a confident error then costs 100 or nothing."),
        Mistake(_product_through_probabilities, "The product is right on paper, but formed of probabilities that round "
                                                "to 1: stay with logits."),
    ),
    title="ESMM's losses", difficulty=4, importance=5, minutes=15, tolerance=1e-5)


# --- multi_task_gain -------------------------------------------------------------------------------------------

def _gain_cases():
    return [([0.80, 0.60], [0.78, 0.63], [True, True]),
            ([0.75, 0.41, 1.30], [0.70, 0.44, 1.20], [True, False, False])]


def _gain(relative):
    def gain(multi, single, higher_is_better):
        return sum(relative(m, s, up) for m, s, up in zip(multi, single, higher_is_better, strict=True)) / len(multi)
    return gain


MULTI_TASK_GAIN = Exercise(
    id="01.multi_task_gain",
    reference=multi_task_gain,
    cases=_gain_cases,
    hints=(
        "Tasks have different units. What makes an AUC and a squared error comparable?",
        "The relative change (multi − single) / single, with its sign turned where lower is better; then the mean.",
    ),
    mistakes=(
        Mistake(_gain(lambda m, s, up: (m - s) / s), "A loss that rises counts as a gain: turn the sign where lower is "
                                                     "better."),
        Mistake(_gain(lambda m, s, up: (1 if up else -1) * (m - s)), "The changes are absolute: a task with large "
                                                                     "numbers drowns the others. Divide by the "
                                                                     "single-task metric."),
        Mistake(_gain(lambda m, s, up: (1 if up else -1) * (m - s) / m), "Divided by the multi-task metric; the "
                                                                         "baseline is the single-task one."),
        Mistake(_gain(lambda m, s, up: 100 * (1 if up else -1) * (m - s) / s), "In percent; Δm here is a fraction."),
        Mistake(lambda multi, single, higher_is_better: len(multi) * multi_task_gain(multi, single, higher_is_better),
                "A sum over the tasks; Δm is their mean."),
    ),
    title="The multi-task gain Δm", difficulty=2, importance=3, minutes=8)


EXERCISES = (SHARED_BOTTOM, WEIGHTED_LOSS, MIX_EXPERTS, PLE_GATE, ESMM_LOSSES, MULTI_TASK_GAIN)
