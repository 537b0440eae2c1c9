"""The exercises of lesson 07, with the mistakes that learners make and what to tell them."""
import torch
from torch.nn import functional as F

from mtl_tutorial.classroom.cases import normal
from mtl_tutorial.classroom.exercise import Exercise, Mistake
from mtl_tutorial.fusion.ambiguity import ambiguity
from mtl_tutorial.fusion.averaging import federated_average
from mtl_tutorial.fusion.distillation import distillation_loss
from mtl_tutorial.fusion.mutual_learning import mutual_learning_loss
from mtl_tutorial.fusion.out_of_fold import out_of_fold
from mtl_tutorial.fusion.secure_sum import masked
from mtl_tutorial.fusion.simplex import project_to_simplex

# --- project_to_simplex ----------------------------------------------------------------------------------------

def _simplex_cases():
    return [(torch.tensor([[0.9, 0.5, -0.4, -0.1], [3.0, 0.2, 1.9, 2.6]], dtype=torch.float64),), (normal(10, 4, 6),),
            (torch.tensor([0.1, 0.7, 0.4, 0.6, -0.3], dtype=torch.float64),),
            (torch.tensor([[0.3, -0.2, 0.1, 0.2], [-2.0, -1.2, -1.5, -1.3]], dtype=torch.float64),)]


def _threshold(values, kept_of):
    """Return max(v − t, 0) with t of the k largest values, where k is a function of them and of their thresholds."""
    largest = values.sort(-1, descending=True).values
    thresholds = (largest.cumsum(-1) - 1) / torch.arange(1, values.shape[-1] + 1)
    kept = kept_of(largest, thresholds).sum(-1, keepdim=True).clamp(1, values.shape[-1])
    return values - thresholds.gather(-1, kept - 1)


def _of_positive_values(values):
    return _threshold(values, lambda largest, thresholds: largest > 0).clamp(min=0)


def _moved_together(values):
    return values - (values.sum(-1, keepdim=True) - 1) / values.shape[-1]


def _scaled(values, least=1e-12):
    clipped = values.clamp(min=0)
    return clipped / clipped.sum(-1, keepdim=True).clamp(min=least)


def _without_one(values):
    """Forget the 1 in t = (sum − 1) / k: no value is above its threshold, and k is 0."""
    largest = values.sort(-1, descending=True).values
    thresholds = largest.cumsum(-1) / torch.arange(1, values.shape[-1] + 1)
    return (values - thresholds.gather(-1, (largest > thresholds).sum(-1, keepdim=True) - 1)).clamp(min=0)


def _sorted_answer(values):
    return project_to_simplex(values).sort(-1, descending=True).values


def _over_problems(values):
    return project_to_simplex(values.T).T if values.dim() == 2 else project_to_simplex(values)


def _only_if_too_large(values):
    clipped = values.clamp(min=0)
    return torch.where(clipped.sum(-1, keepdim=True) <= 1, clipped, project_to_simplex(values))


SIMPLEX = Exercise(
    id="07.project_to_simplex",
    reference=project_to_simplex,
    cases=_simplex_cases,
    hints=(
        "The nearest point is max(v − t, 0): all weights lose the same amount t, and those that would fall below nought stop "
        "there. Which t makes the rest sum to 1?",
        "If the k largest values stay above nought, t = (their sum − 1) / k. Sort in descending order; `cumsum` gives the t of "
        "every k at once. k is right as long as the k-th value is above its t.",
        "`largest = values.sort(-1, descending=True).values`; `t = (largest.cumsum(-1) - 1) / torch.arange(1, M + 1)`; `k = "
        "(largest > t).sum(-1, keepdim=True)`; then `(values - t.gather(-1, k - 1)).clamp(min=0)`.",
    ),
    mistakes=(
        Mistake(_scaled,
                "Clipped at nought and divided by the sum: that is on the simplex, but it is not the *nearest* point, and a "
                "descent that projects so ends elsewhere. Subtract the same amount from all weights instead."),
        Mistake(lambda values: _scaled(values, least=0),
                "Clipped at nought and divided by the sum: where no value is positive that is 0 / 0, and elsewhere it is on the "
                "simplex, but not the *nearest* point. Subtract the same amount from all weights instead."),
        Mistake(lambda values: values.softmax(-1),
                "A softmax: on the simplex, but not the nearest point. It moves even what already lies there, and no weight "
                "ever becomes exactly nought."),
        Mistake(_moved_together,
                "All values moved until the sum is 1, and nothing clipped: some weights are negative."),
        Mistake(lambda values: _moved_together(values).clamp(min=0),
                "Moved until the sum is 1, then clipped: what is clipped away was part of the sum, so that it is above 1 now. "
                "The amount t depends on which weights stay above nought. (Sorted with the smallest first, t comes out like "
                "this, too.)"),
        Mistake(lambda values: _scaled(_moved_together(values)),
                "Moved until the sum is 1, clipped, and scaled back: the sum is right, but the point is not the nearest. The "
                "amount t depends on which weights stay above nought."),
        Mistake(lambda values: _threshold(values, lambda largest, t: largest > t),
                "The amount t is right, but the weights below nought were not clipped."),
        Mistake(_of_positive_values,
                "k counts the values above 0. It should count those that are above their own threshold, (sum of the k largest − "
                "1) / k."),
        Mistake(_sorted_answer,
                "The right weights, in descending order: each must stand at the place of its own expert. Take t from the sorted "
                "values and subtract it from the others."),
        Mistake(lambda values: _threshold(values, lambda largest, t: largest[..., :1] > -torch.inf).clamp(min=0),
                "t is that of k = 1, the largest value − 1: only one weight is sure to stay. Take the largest k whose k-th value "
                "is above its t."),
        Mistake(_without_one,
                "No value is above its threshold, so that k = 0 and there is no t to take. Is the − 1 forgotten? t = (sum of the "
                "k largest − 1) / k.", raises="index -1 is out of bounds"),
        Mistake(torch.zeros_like,
                "All weights are 0: t is the largest value. Is the − 1 forgotten? t = (sum of the k largest − 1) / k."),
        Mistake(lambda values: project_to_simplex(values.flatten()).view_as(values),
                "All weights of the batch together sum to 1: each row is a problem of its own. Sort and sum along the last "
                "dimension, without `flatten`."),
        Mistake(_over_problems,
                "The weights sum to 1 over the problems of the batch, not over the experts: sort and sum along the last "
                "dimension."),
        Mistake(_only_if_too_large,
                "Values whose positive part sums to less than 1 were left as they are: that is the projection on Σ w ≤ 1. Here "
                "the sum is 1 exactly, so the same amount may have to be added."),
    ),
    title="The nearest weights on the simplex", difficulty=3, importance=3, minutes=15)


# --- out_of_fold -----------------------------------------------------------------------------------------------

def _nearest(x, y):
    """Remember every row: the model answers with the target of the nearest one that it saw."""
    return lambda rows: y[torch.cdist(rows, x).argmin(-1)]


def _least_squares(x, y):
    weights = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)
    return lambda rows: rows @ weights


def _fold_cases():
    def case(fit, seed, fold):
        return fit, normal(seed, len(fold), 2).float(), normal(seed + 1, len(fold)).float(), torch.tensor(fold)
    return [case(_nearest, 20, [0, 1, 2, 1, 0, 2, 2, 0, 1, 0]), case(_least_squares, 30, [7, 3, 3, 5, 7, 5, 3, 5, 7, 3, 3]),
            case(_least_squares, 40, [1, 1, 0, 0, 1, 0, 0]), case(_least_squares, 45, [2, -1, 2, 0, -1, 0, 2, -1])]


def _filled(fitted, asked):
    """Fit and ask on rows chosen by functions of (fold, number); a later answer replaces an earlier one."""
    def found(fit, x, y, fold):
        answers = torch.zeros_like(y)
        for number in fold.unique():
            learn, ask = fitted(fold, number), asked(fold, number)
            answers[ask] = fit(x[learn], y[learn])(x[ask])
        return answers
    return found


def _by_fold(fit, x, y, fold):
    return torch.cat([fit(x[fold != number], y[fold != number])(x[fold == number]) for number in fold.unique()])


def _order_taken_for_place(fit, x, y, fold):
    return _by_fold(fit, x, y, fold)[fold.argsort(stable=True)]


def _mean_of_all_models(fit, x, y, fold):
    return torch.stack([fit(x[fold != number], y[fold != number])(x) for number in fold.unique()]).mean(0)


def _of_folds(numbers):
    """Predict the rows of some folds only, those whose numbers a function of all folds names; the others get 0."""
    def found(fit, x, y, fold):
        answers = torch.zeros_like(y)
        for number in numbers(fold):
            if (fold == number).any():
                answers[fold == number] = fit(x[fold != number], y[fold != number])(x[fold == number])
        return answers
    return found


def _targets_blanked(fit, x, y, fold):
    return torch.stack([fit(x, y * (fold != number))(x[row:row + 1])[0] for row, number in enumerate(fold)])


def _own_folds(numbers):
    """Ignore the fold numbers; take others, a function of them."""
    return lambda fit, x, y, fold: out_of_fold(fit, x, y, numbers(fold))


def _dealt_by_position(fold):
    return torch.arange(len(fold)) % len(fold.unique())


def _cut_in_blocks(fold):
    return torch.arange(len(fold)) * len(fold.unique()) // len(fold)


OUT_OF_FOLD = Exercise(
    id="07.out_of_fold",
    reference=out_of_fold,
    cases=_fold_cases,
    hints=(
        "Which model may predict a row of fold k? One that saw every row but those of fold k. How many models is that in all?",
        "For each fold number that occurs: `rows = fold == number`, fit on `~rows`, predict `rows`, and write the answers to "
        "their own places.",
        "`answers = torch.empty_like(y)`, then in the loop over `fold.unique()`: `answers[rows] = fit(x[~rows], "
        "y[~rows])(x[rows])`.",
    ),
    mistakes=(
        Mistake(lambda fit, x, y, fold: fit(x, y)(x),
                "One model, fitted on all rows, predicts the rows that it was fitted on: this is the leak itself. A row of fold "
                "k belongs to a model that never saw fold k."),
        Mistake(_filled(lambda fold, number: fold == number, lambda fold, number: fold == number),
                "Each fold is predicted by a model that was fitted on that same fold: every row was seen. Fit on `fold != "
                "number`."),
        Mistake(_filled(lambda fold, number: fold == number, lambda fold, number: fold != number),
                "The roles are exchanged: fitted on one fold, asked for all others. No row was seen, but each model learned from "
                "a K-th of the rows, and later answers replace earlier ones."),
        Mistake(_filled(lambda fold, number: fold != number, lambda fold, number: torch.ones_like(fold, dtype=torch.bool)),
                "Every model predicts all rows, and the last one's answers stay: it saw all rows but those of the last fold."),
        Mistake(_filled(lambda fold, number: fold != number, lambda fold, number: fold != number),
                "The rows that are predicted are those that the model was fitted on: predict `fold == number`."),
        Mistake(_by_fold,
                "The right answers in the wrong order: fold after fold. Answer n must belong to row n, or every weight is fitted "
                "to other rows' targets."),
        Mistake(_order_taken_for_place,
                "Put in order by the wrong permutation: `order[i]` says which row stands at place i, so *write* to it "
                "(`answers[order] = …`), or read with its inverse, `order.argsort()`."),
        Mistake(_mean_of_all_models,
                "Each row gets the mean of all models: all but one of them saw it."),
        Mistake(_targets_blanked,
                "The fold's targets were set to 0, but its rows were fitted all the same: the model learned that their answer is "
                "0. Leave the rows out, of x and of y."),
        Mistake(_of_folds(lambda fold: fold.unique()[-1:]),
                "Only the last fold's rows are answered, the others hold 0: make the tensor of answers once, *before* the loop."),
        Mistake(_of_folds(lambda fold: range(int(fold.max()) + 1)),
                "The folds are counted from 0 to the largest number, and rows of a fold with a negative number are never "
                "predicted. Loop over the numbers that occur: `fold.unique()`."),
        Mistake(_of_folds(lambda fold: range(len(fold.unique()))),
                "The folds are taken to be numbered 0 … K − 1, and rows of other folds are never predicted. Loop over the "
                "numbers that occur: `fold.unique()`."),
        Mistake(_own_folds(_dealt_by_position),
                "The given folds are not used: rows are dealt out by their position. `fold` may hold a user's rows together, or "
                "be shared with other experts."),
        Mistake(_own_folds(_cut_in_blocks),
                "The given folds are not used: the rows are cut into K blocks. `fold` says which rows belong together."),
    ),
    title="Out-of-fold predictions", difficulty=2, importance=5, minutes=10)


# --- ambiguity -------------------------------------------------------------------------------------------------

def _ambiguity_cases():
    def case(seed, experts, rows):
        return normal(seed, experts, rows), normal(seed + 1, rows), normal(seed + 2, experts).softmax(0)
    return [case(50, 3, 4), case(60, 4, 5), case(70, 2, 3)]


def _decomposed(fused=lambda f, w: w @ f, spread=lambda f, mean, y, w: (w @ (f - mean).square()).mean(),
                errors=lambda f, y, w: (w @ (f - y).square()).mean(), own=lambda mean, y: (mean - y).square().mean()):
    def found(predictions, targets, weights):
        mean = fused(predictions, weights)
        return own(mean, targets), errors(predictions, targets, weights), spread(predictions, mean, targets, weights)
    return found


AMBIGUITY = Exercise(
    id="07.ambiguity",
    reference=ambiguity,
    cases=_ambiguity_cases,
    hints=(
        "Three numbers, each a mean over rows: the error of the weighted mean f̄, the weighted mean of the experts' errors, and "
        "how far the experts lie from f̄. The first must be the second less the third: check it.",
        "f̄ = Σ_i w_i f_i is [N]. The spread is Σ_i w_i (f_i − f̄)²: around f̄, not around the target, and weighted.",
        "`mean = weights @ predictions`; `(mean - targets).square().mean()`, `(weights @ (predictions - targets).square()).mean()`,"
        " `(weights @ (predictions - mean).square()).mean()`.",
    ),
    mistakes=(
        Mistake(_decomposed(fused=lambda f, w: f.mean(0)),
                "f̄ is the plain mean of the experts. With weights it is Σ w_i f_i, in the error and in the spread around it."),
        Mistake(_decomposed(lambda f, w: f.mean(0), lambda f, mean, y, w: (f - mean).square().mean(), lambda f, y, w: (f - y).square().mean()),
                "The weights are not used: plain means over the experts in all three parts. With weights, a sum over the experts "
                "is Σ_i w_i …"),
        Mistake(_decomposed(spread=lambda f, mean, y, w: (w.square() @ (f - mean).square()).mean(),
                            errors=lambda f, y, w: (w.square() @ (f - y).square()).mean()),
                "The weights are squared with the differences: w_i (f_i − y)², not (w_i (f_i − y))²."),
        Mistake(lambda predictions, targets, weights: tuple(ambiguity(predictions, targets, weights)[i] for i in (1, 0, 2)),
                "The first two are exchanged: first the error of the weighted mean, then the experts' mean error. (The mean's is "
                "the smaller one.)"),
        Mistake(_decomposed(spread=lambda f, mean, y, w: (f - mean).square().mean()),
                "The spread around f̄ is not weighted: Σ_i w_i (f_i − f̄)²."),
        Mistake(_decomposed(errors=lambda f, y, w: (f - y).square().mean()),
                "The experts' errors are not weighted: Σ_i w_i (f_i − y)²."),
        Mistake(_decomposed(spread=lambda f, mean, y, w: (w @ (f - f.mean(0)).square()).mean()),
                "The spread is taken around the experts' plain mean; around any point but f̄ the identity is lost."),
        Mistake(_decomposed(spread=lambda f, mean, y, w: f.var(0).mean()),
                "`var` knows no weights, and divides by M − 1. The spread is Σ_i w_i (f_i − f̄)²."),
        Mistake(_decomposed(spread=lambda f, mean, y, w: f.var(0, correction=0).mean()),
                "`var` knows no weights. The spread is Σ_i w_i (f_i − f̄)²."),
        Mistake(_decomposed(spread=lambda f, mean, y, w: (w @ (f - mean).abs()).mean()),
                "Distances in place of their squares: the identity holds for squared errors."),
        Mistake(_decomposed(spread=lambda f, mean, y, w: -(w @ (f - mean).square()).mean()),
                "The sign: the ambiguity is a spread, 0 or more, and is subtracted."),
        Mistake(lambda predictions, targets, weights:
                tuple(part * predictions.shape[-1] for part in ambiguity(predictions, targets, weights)),
                "Sums over the rows: take means, so that the numbers do not grow with the table."),
        Mistake(lambda predictions, targets, weights: tuple(part.sqrt() for part in ambiguity(predictions, targets, weights)),
                "Roots of the three parts: squared errors add up, their roots do not."),
    ),
    title="The ambiguity decomposition", difficulty=2, importance=4, minutes=10)


# --- mutual_learning_loss --------------------------------------------------------------------------------------

def _classes(seed, rows, classes):
    return torch.randint(classes, (rows,), generator=torch.Generator().manual_seed(seed))


def _mutual_cases():
    def case(seed, students, rows, classes, weight):
        return normal(seed, students, rows, classes, grad=True), _classes(seed, rows, classes), weight
    return [case(300, 3, 4, 3, 1.0), case(310, 2, 5, 4, 0.4), case(320, 4, 3, 2, 2.5)]


def _own_loss(log_p, targets):
    return torch.stack([F.nll_loss(student, targets) for student in log_p])                         # [S]


def _pairs(peers, log_p):
    """Return KL(p_j ‖ p_k) of each peer j and student k, a mean over rows, [S, S]."""
    return (peers.exp().unsqueeze(1) * (peers.unsqueeze(1) - log_p.unsqueeze(0))).sum(-1).mean(-1)


def _mutual(pairs=lambda log_p: _pairs(log_p.detach(), log_p), over=lambda kl: kl.sum(0) / (len(kl) - 1),
            log_softmax=lambda logits: logits.log_softmax(-1), total=lambda own, kl, weight: own + weight * kl,
            among_peers=None):
    def loss(logits, targets, weight):
        log_p = (among_peers or log_softmax)(logits)
        return total(_own_loss(log_softmax(logits), targets), over(pairs(log_p)), weight)
    return loss


def _mean_peer(log_p):
    """Return KL(mean of the peers ‖ p_k) on the diagonal, so that the mean over peers is this one number."""
    p = log_p.detach().exp()
    peers = ((p.sum(0) - p) / (len(p) - 1)).log()                                                   # [S, B, C]
    return torch.diag((peers.exp() * (peers - log_p)).sum(-1).mean(-1)) * (len(p) - 1)


def _peers_cross_entropy(log_p):
    """Return −Σ p_j log p_k of each peer j and student k ≠ j, a mean over rows, [S, S]."""
    found = -(log_p.detach().exp().unsqueeze(1) * log_p.unsqueeze(0)).sum(-1).mean(-1)
    return found - torch.diag(found.diag())


MUTUAL = Exercise(
    id="07.mutual_learning_loss",
    reference=mutual_learning_loss,
    cases=_mutual_cases,
    hints=(
        "Two terms for each student: what the labels say and what the peers say. Which of the tensors in the second term "
        "may student k's gradient change?",
        "`log_p = logits.log_softmax(-1)`, `peers = log_p.detach()`. KL(p_j ‖ p_k) = Σ_c p_j (log p_j − log p_k). All pairs at "
        "once: `peers.unsqueeze(1)` against `log_p.unsqueeze(0)` is [S, S, B, C], and KL(p_k ‖ p_k) = 0 does no harm in a "
        "sum over peers.",
        "`kl = (peers.exp().unsqueeze(1) * (peers.unsqueeze(1) - log_p.unsqueeze(0))).sum(-1).mean(-1)` is [S, S], peer by "
        "student: `kl.sum(0) / (S - 1)` is the mean over peers. Add to each student's own cross-entropy, weight times that.",
    ),
    mistakes=(
        Mistake(_mutual(pairs=lambda log_p: _pairs(log_p, log_p.detach()).T),
                "The KL runs the other way: KL(p_k ‖ p_j) weighs the classes by the student's own probability, so that a "
                "student may give up a class that its peer believes in. KL(p_j ‖ p_k): the peer's probability stands in "
                "front. (`F.kl_div(input, target)` is KL(target ‖ input), with `input` in logarithms.)"),
        Mistake(_mutual(pairs=lambda log_p: _pairs(log_p, log_p)),
                "The peers are not detached. The numbers are right, the gradient is not: each student's loss now pulls its "
                "peers towards it, and they give in twice."),
        Mistake(_mutual(pairs=lambda log_p: _pairs(log_p, log_p.detach())),
                "Detached is the student and not the peer: the gradient moves the teacher towards the pupil."),
        Mistake(_mutual(pairs=lambda log_p: _pairs(log_p.detach(), log_p.detach())),
                "Both sides of the KL are detached: its value is right, but nobody learns from anybody."),
        Mistake(_mutual(total=lambda own, kl, weight: weight * kl),
                "A student's own loss is forgotten: without the labels the students only have to agree, and a constant "
                "answer is perfect agreement."),
        Mistake(_mutual(over=lambda kl: kl.sum(0)),
                "This is the sum over the peers. Their mean keeps the balance with the labels, however many students there "
                "are: divide by S − 1."),
        Mistake(_mutual(over=lambda kl: kl.mean(0)),
                "The mean counts the student itself, from which it is no distance away: divide by its S − 1 peers, not by S."),
        Mistake(lambda logits, targets, weight:
                mutual_learning_loss(logits, targets, weight * len(targets)),
                "The KL is summed over the rows while the cross-entropy is their mean: the balance of the two would change "
                "with the batch size."),
        Mistake(lambda logits, targets, weight: mutual_learning_loss(logits, targets, weight / logits.shape[-1]),
                "The KL is averaged over the classes, too (`F.kl_div(..., reduction=\"mean\")` does that, and says so in its "
                "documentation): a divergence is a sum over classes and a mean over rows."),
        Mistake(_mutual(log_softmax=lambda logits: logits.softmax(-1).log_softmax(-1)),
                "The softmax is taken twice: what goes into `log_softmax` (or `F.cross_entropy`) are logits, not "
                "probabilities. Twice softened, no student can be sure of anything, and no error tells you."),
        Mistake(_mutual(log_softmax=lambda logits: logits.log_softmax(1)),
                "The softmax runs over the rows of the batch, not over the classes."),
        Mistake(_mutual(log_softmax=lambda logits: logits.log_softmax(0)),
                "The softmax runs over the students, not over the classes."),
        Mistake(_mutual(among_peers=lambda logits: logits.log_softmax(1)),
                "The labels' part is right, but in the divergence the softmax runs over the rows of the batch, not over the "
                "classes."),
        Mistake(_mutual(among_peers=lambda logits: logits.log_softmax(0)),
                "The labels' part is right, but in the divergence the softmax runs over the students, not over the classes."),
        Mistake(_mutual(pairs=_peers_cross_entropy),
                "This is the cross-entropy with the peers' probabilities: the peers' own entropy, Σ p_j log p_j, is left out. "
                "Its gradient is the same, but it is not 0 where the two agree, as a divergence is."),
        Mistake(_mutual(pairs=lambda log_p: torch.stack([torch.stack([
                    F.kl_div(peer.exp(), student, reduction="batchmean") for student in log_p]) for peer in log_p.detach()])),
                "Every loss is NaN. If `F.kl_div(input, target)` is in it: the input is the student's *logarithms*, the target the "
                "peer's *probabilities* (or its logarithms, with `log_target=True`)."),
        Mistake(_mutual(pairs=_mean_peer, over=lambda kl: kl.sum(0) / (len(kl) - 1)),
                "This is the divergence from the *mean* of the peers. With two students it is the same, with more it has the "
                "same gradient, but it is less than the mean of the divergences (the paper calls it DML_e)."),
        Mistake(lambda logits, targets, weight: mutual_learning_loss(logits, targets, 1.0),
                "The weight is not used."),
        Mistake(_mutual(total=lambda own, kl, weight: weight * own + kl),
                "The weight stands before the student's own loss; it belongs to the divergence."),
        Mistake(_mutual(total=lambda own, kl, weight: (own + weight * kl).sum()),
                "One number for all: give each student's loss, [S]. The sum is for the caller."),
    ),
    title="The loss of students that learn from each other", difficulty=3, importance=4, minutes=15)


# --- distillation_loss -----------------------------------------------------------------------------------------

def _distillation_cases():
    def case(seed, rows, classes, temperature, weight):
        return (normal(seed, rows, classes, grad=True), 2 * normal(seed + 1, rows, classes), _classes(seed, rows, classes),
                temperature, weight)
    return [case(400, 4, 3, 2.0, 0.7), case(410, 5, 4, 3.0, 0.4), case(420, 3, 2, 4.0, 0.8)]


def _distilled(hard_at=lambda temperature: 1.0, teacher_at=lambda temperature: temperature, student_at=lambda temperature: temperature,
               factor=lambda temperature: temperature**2, divergence=lambda p, q: (p.exp() * (p - q)).sum(-1).mean(-1),
               balance=lambda weight: (1 - weight, weight), axis=-1):
    def loss(logits, teacher_logits, targets, temperature, weight):
        hard = F.cross_entropy(logits / hard_at(temperature), targets)
        teacher = (teacher_logits / teacher_at(temperature)).log_softmax(axis)
        student = (logits / student_at(temperature)).log_softmax(axis)
        of_hard, of_soft = balance(weight)
        return of_hard * hard + of_soft * factor(temperature) * divergence(teacher, student)
    return loss


DISTILLATION = Exercise(
    id="07.distillation_loss",
    reference=distillation_loss,
    cases=_distillation_cases,
    hints=(
        "Soft labels are the teacher's probabilities after its logits were divided by T. What must happen to the student's "
        "logits before the two are compared?",
        "KL(teacher ‖ student) of probabilities that are both softened, times T². The labels' cross-entropy knows no "
        "temperature.",
        "`teacher = (teacher_logits / T).log_softmax(-1)`, `student = (logits / T).log_softmax(-1)`, `soft = T**2 * (teacher.exp() "
        "* (teacher - student)).sum(-1).mean()`; then `(1 - weight) * F.cross_entropy(logits, targets) + weight * soft`.",
    ),
    mistakes=(
        Mistake(_distilled(factor=lambda temperature: 1.0),
                "T² is forgotten: softening divides the gradient by about T², so that at a high temperature the teacher is "
                "hardly heard."),
        Mistake(_distilled(factor=lambda temperature: temperature),
                "The factor is T²: the gradient loses one T from the chain rule and about one more because softened "
                "probabilities lie closer together."),
        Mistake(_distilled(student_at=lambda temperature: 1.0),
                "Only the teacher is softened: a student that agreed with it perfectly would still be pushed away."),
        Mistake(_distilled(teacher_at=lambda temperature: 1.0),
                "Only the student is softened: it would have to be T times as sure as the teacher to agree with it."),
        Mistake(_distilled(hard_at=lambda temperature: temperature),
                "The temperature softens the labels' loss, too: there the student's probabilities count as they are served."),
        Mistake(_distilled(teacher_at=lambda temperature: 1 / temperature, student_at=lambda temperature: 1 / temperature),
                "The logits are multiplied by T, which hardens; softening divides."),
        Mistake(_distilled(divergence=lambda p, q: (q.exp() * (q - p)).sum(-1).mean(-1)),
                "The KL runs the other way: the teacher's probabilities stand in front, KL(teacher ‖ student)."),
        Mistake(_distilled(divergence=lambda p, q: (p.exp() * (p - q)).sum(-1).sum(-1)),
                "The soft part is summed over the rows, the hard part is their mean: the balance would change with the batch."),
        Mistake(_distilled(divergence=lambda p, q: (p.exp() * (p - q)).mean()),
                "The divergence is averaged over the classes, too: sum over classes, mean over rows."),
        Mistake(_distilled(divergence=lambda p, q: -(p.exp() * q).sum(-1).mean(-1)),
                "This is the soft labels' cross-entropy. Its gradient is the same, but it is off by the teacher's entropy: the "
                "divergence is 0 where the two agree."),
        Mistake(_distilled(balance=lambda weight: (weight, 1 - weight)),
                "The two weights are swapped: `weight` belongs to the teacher."),
        Mistake(_distilled(balance=lambda weight: (1.0, weight)),
                "The labels keep their full weight: they get what the teacher leaves, 1 − weight."),
        Mistake(_distilled(balance=lambda weight: (0.0, weight)),
                "The labels are forgotten: their cross-entropy counts 1 − weight."),
        Mistake(lambda logits, teacher_logits, targets, temperature, weight:
                temperature**2 * _distilled(factor=lambda temperature: 1.0)(logits, teacher_logits, targets, temperature, weight),
                "T² stands before both parts; the labels' part was not softened and needs none."),
        Mistake(_distilled(teacher_at=lambda temperature: 1.0, student_at=lambda temperature: 1.0),
                "T² is there, the softening is not: divide the teacher's and the student's logits by T before the softmax."),
        Mistake(_distilled(divergence=lambda p, q: (p.exp() * (p - q.exp())).sum(-1).mean(-1)),
                "A probability stands where a logarithm belongs: KL = Σ p (log p − log q), and what `F.kl_div` takes first are "
                "the student's *logarithms*, `log_softmax` and not `softmax`."),
        Mistake(_distilled(divergence=lambda p, q: F.kl_div(q, p, reduction="batchmean")),
                "The loss is NaN. If `F.kl_div(input, target)` is in it: the input is the student's *logarithms*, the target the "
                "teacher's *probabilities* (or its logarithms, with `log_target=True`)."),
        Mistake(_distilled(axis=0),
                "The softmax of the soft part runs over the rows of the batch, not over the classes."),
        Mistake(_distilled(divergence=lambda p, q: (p.exp() * (p - q.detach())).sum(-1).mean(-1)),
                "The student is detached in the soft part: the value is right, but it learns nothing from its teacher."),
    ),
    title="Learning from soft labels", difficulty=2, importance=5, minutes=10)


# --- federated_average -----------------------------------------------------------------------------------------

def _average_cases():
    def weights(seed, clients, width, seen, grad=False):
        return {"layer.weight": normal(seed, clients, width, 2, grad=grad), "layer.bias": normal(seed + 1, clients, width),
                "batches_seen": torch.tensor(seen)}
    return [(weights(700, 3, 2, [40, 8, 12]), torch.tensor([500, 100, 150])),
            (weights(710, 4, 3, [7, 70, 9, 1], grad=True), torch.tensor([20, 0, 30, 10])),
            (weights(720, 2, 4, [3, 5]), torch.tensor([1, 3]))]


def _averaged(share=lambda rows: rows / rows.sum(), counter=lambda value, share: value[0], place=-1):
    """Average by other shares, treat integers otherwise, or let the shares stand along another dimension."""
    def average(weights, rows):
        shares = share(rows).double()
        found = {}
        for name, value in weights.items():
            if value.is_floating_point():
                counted = shares.reshape(-1, *[1] * (value.dim() - 1)) if place == -1 else shares
                found[name] = (counted * value).sum(0)
            else:
                found[name] = counter(value, shares)
        return found
    return average


FED_AVERAGE = Exercise(
    id="07.federated_average",
    reference=federated_average,
    cases=_average_cases,
    hints=(
        "Σ_c n_c w_c / Σ_c n_c. What do the clients' shares sum to? And what would the mean of two counters be?",
        "`share = rows / rows.sum()` is [C]; an entry is [C, …] with any number of dimensions behind. The share must stand along "
        "the *first*: `share.reshape(-1, 1, 1)` for a matrix.",
        "`share.to(value.dtype).reshape(-1, *[1] * (value.dim() - 1))`, times the value, `.sum(0)`; where "
        "`not value.is_floating_point()`, `value[0]`.",
    ),
    mistakes=(
        Mistake(_averaged(share=lambda rows: torch.full(rows.shape, 1 / len(rows), dtype=torch.float64)),
                "This is the plain mean: a client with ten rows counts as much as one with ten thousand. The pool's gradient, which "
                "FedAvg stands in for, counts clients by their rows."),
        Mistake(_averaged(share=lambda rows: rows),
                "The rows are not divided by their sum: the weights grow with the number of rows. Shares sum to 1."),
        Mistake(_averaged(share=lambda rows: rows / len(rows)),
                "Divided by the number of clients, not by the number of rows: the shares do not sum to 1."),
        Mistake(_averaged(share=lambda rows: rows / rows.max()),
                "Divided by the largest client's rows: the shares do not sum to 1."),
        Mistake(_averaged(share=lambda rows: rows // rows.sum()),
                "`//` cuts the shares down to whole numbers: all of them are 0. Divide by `/`."),
        Mistake(_averaged(share=lambda rows: (rows / rows.sum()).softmax(0)),
                "A softmax of the shares is nearly the plain mean; the shares sum to 1 as they are."),
        Mistake(_averaged(share=lambda rows: rows.double().softmax(0)),
                "A softmax of the rows: what counts is their differences, so that the largest client is nearly alone. Divide each by "
                "their sum."),
        Mistake(_averaged(share=lambda rows: rows.sqrt() / rows.sqrt().sum()),
                "The square roots of the rows weigh here: small clients count for more than their rows."),
        Mistake(_averaged(share=lambda rows: torch.nn.functional.one_hot(rows.argmax(), len(rows))),
                "Only the largest client's weights are left: nobody else has trained for anything."),
        Mistake(_averaged(counter=lambda value, share: (share * value).sum()),
                "The counter is averaged, too, and has become a float: an entry of integers keeps the first client's value."),
        Mistake(_averaged(counter=lambda value, share: (share * value).sum().float()),
                "The counter is averaged, too, and has become a float32: integers (counters, offsets, ids) have no mean. An entry "
                "that is not `is_floating_point()` keeps the first client's value."),
        Mistake(_averaged(counter=lambda value, share: (share.long() * value).sum()),
                "The shares were turned into the dtype of the counter: as integers they are 0. Keep integers out of the mean; "
                "the first client's are kept."),
        Mistake(_averaged(counter=lambda value, share: (share * value).sum().round().long()),
                "The counter is averaged and rounded: integers (counters, offsets, ids) have no mean; the first client's are kept."),
        Mistake(_averaged(counter=lambda value, share: value.sum()),
                "The integers are summed: that may do for a counter, but a table of offsets would point elsewhere. The first "
                "client's are kept."),
        Mistake(_averaged(place=0),
                "The shares stand along the last dimension of the weights, not along the clients': broadcasting starts from the "
                "right. Give the shares as many trailing 1s as the entry has dimensions behind the first.",
                raises="must match the size of tensor"),
    ),
    title="Weighted federated average", difficulty=2, importance=5, minutes=10)


# --- masked ----------------------------------------------------------------------------------------------------

def _masked_cases():
    def case(seed, clients, size, client, ring):
        generator = torch.Generator().manual_seed(seed)
        return (torch.randint(2**ring, (size,), generator=generator),
                torch.randint(2**ring, (clients, size), generator=generator), client, ring)
    return [case(800, 5, 4, 1, 6), case(810, 4, 3, 3, 8), case(820, 4, 6, 0, 10), case(830, 6, 5, 2, 7), case(840, 5, 6, 1, 32)]


def _sent(later=1, earlier=-1, own=0, modulus=lambda total, ring: total % 2**ring):
    """Let the masks of later clients, of earlier ones and the client's own row count otherwise."""
    def send(value, shared, client, ring):
        total = value + later * shared[client + 1:].sum(0) + earlier * shared[:client].sum(0) + own * shared[client]
        return modulus(total, ring)
    return send


MASKED = Exercise(
    id="07.masked",
    reference=masked,
    cases=_masked_cases,
    hints=(
        "Clients a < b share one mask. If a adds it and b subtracts it, what is left of it in the sum?",
        "`shared[client + 1:]` are the masks shared with later clients, `shared[:client]` those with earlier ones.",
        "`(value + shared[client + 1:].sum(0) - shared[:client].sum(0)) % 2**ring`.",
    ),
    mistakes=(
        Mistake(_sent(earlier=1),
                "All masks are added: both of a pair add the same number, and twice that number is left in the sum."),
        Mistake(_sent(later=-1, earlier=1),
                "The signs are the other way round. That would cancel as well if all clients did it, but they agreed that the earlier "
                "of two adds."),
        Mistake(_sent(earlier=0), "Only the masks shared with later clients count: nobody subtracts them, so nothing cancels."),
        Mistake(_sent(later=0), "Only the masks shared with earlier clients count: nobody added them, so nothing cancels."),
        Mistake(_sent(earlier=1, own=1),
                "All rows of `shared` are added, the client's own one too: later clients' masks are added, earlier clients' "
                "subtracted, and the own row means nothing."),
        Mistake(_sent(own=1), "The client's own row is added, too: it shares a mask with nobody there, and it stays in the sum."),
        Mistake(_sent(own=-1),
                "The client's own row is subtracted, too: the earlier clients are `shared[:client]`, without `client` itself."),
        Mistake(_sent(modulus=lambda total, ring: total),
                "Not taken modulo 2^ring: a total far outside 0 … 2^ring tells how large the masks were, and so of the value."),
        Mistake(_sent(modulus=lambda total, ring: total.fmod(2**ring)),
                "`fmod` keeps the sign of the total: negative numbers stay. `%` (`remainder`) gives 0 … 2^ring − 1."),
        Mistake(_sent(modulus=lambda total, ring: total % ring),
                "Taken modulo the number of bits: the ring has 2**ring numbers."),
        Mistake(_sent(modulus=lambda total, ring: total % (2**ring - 1)),
                "The largest number of the ring is 2**ring − 1, the modulus is 2**ring."),
        Mistake(_sent(modulus=lambda total, ring: total % 2**32),
                "The ring is taken to be 2**32 whatever `ring` says: it has 2**ring numbers."),
        Mistake(lambda value, shared, client, ring: value + masked(torch.zeros_like(value), shared, client, ring),
                "Only the masks are taken modulo 2**ring; the value is added outside, so that the total leaves the ring. Add first."),
        Mistake(lambda value, shared, client, ring: masked(value.float(), shared, client, ring).long(),
                "The value was turned into a float32, and the sum with it: 24 bits of it are kept, and in a ring of 32 the masks no "
                "longer cancel exactly. Stay with integers."),
        Mistake(lambda value, shared, client, ring: masked(value.float(), shared.float(), client, ring).long(),
                "Computed in float32, which holds 24 bits: in a ring of 32 the last ones are lost, and the masks no longer cancel "
                "exactly. Stay with integers."),
        Mistake(lambda value, shared, client, ring: masked(torch.zeros_like(value), shared, client, ring),
                "The masks alone are sent: the value is forgotten, and the sum over clients is 0."),
        Mistake(lambda value, shared, client, ring: value % 2**ring, "The value goes out as it is: the masks are forgotten."),
    ),
    title="What a client sends to a secure sum", difficulty=2, importance=3, minutes=8,
    tolerance=1e-14)          # integers: a sum that is off by one does not cancel


EXERCISES = (SIMPLEX, OUT_OF_FOLD, AMBIGUITY, MUTUAL, DISTILLATION, FED_AVERAGE, MASKED)
