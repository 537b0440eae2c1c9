"""The exercises of lesson 06, with the mistakes that learners make and what to tell them."""

import math

import torch

from mtl_tutorial.classroom.cases import normal
from mtl_tutorial.classroom.exercise import Exercise, Mistake
from mtl_tutorial.zero_shot.calibrated_stacking import calibrated_predict
from mtl_tutorial.zero_shot.dap import attribute_log_posterior
from mtl_tutorial.zero_shot.eszsl import eszsl_solution
from mtl_tutorial.zero_shot.harmonic import generalised_accuracy, harmonic_mean, per_class_accuracy
from mtl_tutorial.zero_shot.info_nce import info_nce

# --- eszsl_solution --------------------------------------------------------------------------------------------

def _eszsl_cases():
    def case(seed, rows, features, attributes, classes, gamma, lam):
        y = torch.arange(rows) % classes
        targets = 2 * torch.nn.functional.one_hot(y, classes).double() - 1
        return normal(seed, rows, features), targets, normal(seed + 1, classes, attributes), gamma, lam
    return [case(500, 9, 4, 3, 5, 0.5, 2.0), case(510, 12, 3, 4, 6, 3.0, 0.4), case(520, 7, 2, 3, 4, 1.0, 0.7)]


def _eye(square):
    return torch.eye(len(square)).to(square)


def _sandwich(left=lambda gram, gamma: gram + gamma * _eye(gram), right=lambda gram, lam: gram + lam * _eye(gram)):
    """Solve with other matrices on the two sides."""
    def found(x, targets, signatures, gamma, lam):
        middle = torch.linalg.solve(left(x.T @ x, gamma), x.T @ targets @ signatures)
        return torch.linalg.solve(right(signatures.T @ signatures, lam), middle.T).T
    return found


ESZSL_SOLUTION = Exercise(
    id="06.eszsl_solution",
    reference=eszsl_solution,
    cases=_eszsl_cases,
    hints=(
        "Set the gradient of the objective to zero. Because the penalty is built for it, what is left factors: one matrix "
        "on the left of V, one on its right.",
        "(XᵀX + γI) V (SᵀS + λI) = XᵀYS. The left matrix is [D, D], the right one [A, A]; check each product's shape.",
        "`torch.linalg.solve(A, B)` is A⁻¹B. For the inverse on the right, transpose: `torch.linalg.solve(right, "
        "middle.T).T`, for `right` is symmetric.",
    ),
    mistakes=(
        Mistake(_sandwich(left=lambda gram, gamma: gram),
                "γI is missing: where there are fewer rows than features XᵀX has no inverse, and near to that a huge one."),
        Mistake(_sandwich(right=lambda gram, lam: gram),
                "λI is missing: with more attributes than seen classes, as is common, SᵀS has no inverse at all."),
        Mistake(lambda x, targets, signatures, gamma, lam: eszsl_solution(x, targets, signatures, lam, gamma),
                "γ and λ have changed places: γ stands with the features XᵀX, λ with the signatures SᵀS."),
        Mistake(_sandwich(lambda gram, gamma: gram, lambda gram, lam: gram),
                "No penalty at all: with more features than rows, or more attributes than seen classes, there is no inverse, and "
                "a pseudo-inverse fits the noise. γI stands with XᵀX and λI with SᵀS."),
        Mistake(lambda x, targets, signatures, gamma, lam: eszsl_solution(x, targets, signatures, gamma, gamma),
                "γ stands on both sides; with the signatures it is λ."),
        Mistake(lambda x, targets, signatures, gamma, lam: eszsl_solution(x, targets, signatures, gamma**2, lam),
                "γ is squared. It stands in the objective as it is, and so does it in its gradient."),
        Mistake(_sandwich(right=lambda gram, lam: _eye(gram)),
                "The second inverse is missing: this is the ridge regression of YS on X. Attributes that go together would "
                "count twice; (SᵀS + λI)⁻¹ takes that out."),
        Mistake(_sandwich(left=lambda gram, gamma: _eye(gram)),
                "The first inverse is missing: features that go together count twice without (XᵀX + γI)⁻¹."),
        Mistake(_sandwich(left=lambda gram, gamma: gram + gamma),
                "γ is added to every entry of XᵀX. γI has it on the diagonal alone: `gamma * torch.eye(D)`."),
        Mistake(_sandwich(right=lambda gram, lam: gram + lam),
                "λ is added to every entry of SᵀS. λI has it on the diagonal alone: `lam * torch.eye(A)`."),
        Mistake(_sandwich(lambda gram, gamma: gram + gamma, lambda gram, lam: gram + lam),
                "γ and λ are added to every entry of their matrices. γI and λI have them on the diagonals alone."),
        Mistake(lambda x, targets, signatures, gamma, lam: eszsl_solution(x, (targets + 1) / 2, signatures, gamma, lam),
                "Y was made 0 where a row is not of a class. The targets are −1 there, as they are handed over."),
        Mistake(lambda x, targets, signatures, gamma, lam: eszsl_solution(x, targets, signatures, gamma, lam).T,
                "Vᵀ: the result should be [D, A], features by attributes."),
        Mistake(_sandwich(lambda gram, gamma: gram - gamma * _eye(gram), lambda gram, lam: gram - lam * _eye(gram)),
                "γ and λ are taken off; a penalty is added."),
        Mistake(lambda x, targets, signatures, gamma, lam:
                (x.T @ x + gamma * _eye(x.T)) @ (x.T @ targets @ signatures)
                @ (signatures.T @ signatures + lam * _eye(signatures.T)),
                "The two matrices multiply, where their inverses should."),
        Mistake(lambda x, targets, signatures, gamma, lam:
                eszsl_solution(x, targets, signatures, gamma * len(x), lam),
                "γ is multiplied by the number of rows (or XᵀX divided by it): the objective sums over rows, it is no "
                "mean."),
    ),
    title="ESZSL's solution", difficulty=2, importance=4, minutes=10)


# --- attribute_log_posterior -----------------------------------------------------------------------------------

def _posterior_cases():
    def case(seed, rows, table):
        table = torch.tensor(table).double()
        prior = normal(seed + 1, table.shape[1]).sigmoid()
        return normal(seed, rows, table.shape[1]), table, prior
    sure = torch.tensor([[50.0, -50.0, 0.5], [-50.0, 50.0, -8.0]]).double()
    return [case(530, 4, [[1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 0]]), case(540, 3, [[1, 1, 0, 0, 1], [0, 1, 1, 0, 0]]),
            (sure, *case(545, 1, [[1, 0, 1], [0, 1, 1]])[1:])]


def _posterior(has, lacks):
    """Sum two functions of (log p, log(1 − p), log prior, log(1 − prior)) over what a class has and what it lacks."""
    def found(logits, table, prior):
        logs = (torch.nn.functional.logsigmoid(logits), torch.nn.functional.logsigmoid(-logits), prior.log(),
                torch.log1p(-prior))
        return has(*logs) @ table.T + lacks(*logs) @ (1 - table).T
    return found


def _posterior_by_probabilities(logits, table, prior):
    chance = logits.sigmoid()
    return (chance / prior).log() @ table.T + ((1 - chance) / (1 - prior)).log() @ (1 - table).T


def _log_of_the_sum(logits, table, prior):
    has, lacks = logits.sigmoid() / prior, (-logits).sigmoid() / (1 - prior)
    return (has @ table.T + lacks @ (1 - table).T).log()


POSTERIOR = Exercise(
    id="06.attribute_log_posterior",
    reference=attribute_log_posterior,
    cases=_posterior_cases,
    hints=(
        "Every attribute has its say about every class: of an attribute that the class lacks, which probability counts?",
        "Where the table has 1, add log p − log prior; where it has 0, log(1 − p) − log(1 − prior). With matrix products "
        "by `table.T` and `(1 - table).T` there is no loop.",
        "`has = F.logsigmoid(logits) - prior.log()` and `lacks = F.logsigmoid(-logits) - torch.log1p(-prior)`; the answer "
        "is `has @ table.T + lacks @ (1 - table).T`.",
    ),
    mistakes=(
        Mistake(_posterior(lambda yes, no, prior, rest: yes - prior, lambda yes, no, prior, rest: 0 * no),
                "Only attributes that the class has are counted. That an attribute is missing tells as much: a class with no "
                "attributes at all would get the same score on every picture."),
        Mistake(_posterior(lambda yes, no, prior, rest: yes, lambda yes, no, prior, rest: no),
                "The prior is left out. Without dividing by p(a), an attribute that is rare among the seen classes counts "
                "against every class that has it."),
        Mistake(_posterior(lambda yes, no, prior, rest: yes + prior, lambda yes, no, prior, rest: no + rest),
                "The prior multiplies; it should divide: subtract its logarithm."),
        Mistake(_posterior(lambda yes, no, prior, rest: yes - prior, lambda yes, no, prior, rest: no - prior),
                "For attributes that the class lacks, the prior of *having* them is taken off. There it is 1 − prior."),
        Mistake(_posterior(lambda yes, no, prior, rest: yes - prior, lambda yes, no, prior, rest: no),
                "The prior is taken off what the class has only. What it lacks has one, too: log(1 − prior)."),
        Mistake(_log_of_the_sum,
                "The logarithm of a *sum* of ratios. Attributes must all be right: the ratios multiply, so their logarithms add."),
        Mistake(_posterior_by_probabilities,
                "Right but for rows that are sure: at log-odds of 50, 1 − p is rounded to 0 and its logarithm is −∞. "
                "`F.logsigmoid(logits)` is log p and `F.logsigmoid(-logits)` log(1 − p), without a detour by p."),
        Mistake(_posterior(lambda yes, no, prior, rest: yes.clamp(min=math.log(1e-3)) - prior,
                           lambda yes, no, prior, rest: no.clamp(min=math.log(1e-3)) - rest),
                "The probabilities are kept away from 0 by a bound. That hides how sure the classifier is: take "
                "`F.logsigmoid`, which needs no bound."),
        Mistake(_posterior(lambda yes, no, prior, rest: no - rest, lambda yes, no, prior, rest: yes - prior),
                "Having and lacking have changed places: `table` is 1 where the class *has* the attribute."),
        Mistake(_posterior(lambda yes, no, prior, rest: yes - prior, lambda yes, no, prior, rest: -(no - rest)),
                "What a class lacks counts with the wrong sign: add log(1 − p) − log(1 − prior)."),
        Mistake(lambda logits, table, prior: attribute_log_posterior(logits, table, prior).exp(),
                "The product itself, not its logarithm: with hundreds of attributes it underflows to 0 for every class."),
        Mistake(lambda logits, table, prior: attribute_log_posterior(logits, table, prior) / table.shape[1],
                "The mean over attributes; the logarithm of a product is the sum."),
        Mistake(lambda logits, table, prior: attribute_log_posterior(logits, table, prior).log_softmax(-1),
                "Scaled to sum to 1 over these classes. The same class wins, but then a score depends on which other classes "
                "stand in the table. Return the product as it is."),
        Mistake(lambda logits, table, prior: logits @ table.T,
                "Log-odds are summed over what the class has: the prior is missing, and so is log(1 − p), which all classes "
                "share."),
        Mistake(lambda logits, table, prior: (logits - prior.logit()) @ table.T,
                "Log-odds less prior log-odds, over what the class has. The same class wins, because what is missing, "
                "Σ log(1 − p) / (1 − prior), is the same for all of them. But it is not the logarithm of the product."),
        Mistake(lambda logits, table, prior:
                attribute_log_posterior(torch.logit(logits.softmax(-1)), table, prior),
                "A softmax over the attributes: they do not compete, a coat has sleeves *and* a zip. Each has a sigmoid of "
                "its own."),
    ),
    title="DAP's posterior", difficulty=2, importance=4, minutes=10)


# --- generalised_accuracy --------------------------------------------------------------------------------------

def _accuracy_cases():
    def case(seed, labels, classes, seen, hit):
        y = torch.tensor(labels)
        drawn = normal(seed, len(labels), classes)
        found = (drawn + hit * torch.nn.functional.one_hot(y, classes)).argmax(-1)
        return found, y, torch.tensor(seen, dtype=torch.bool)
    return [case(550, [0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 3, 4, 4, 4], 5, [1, 1, 0, 0, 1], 1.5),
            case(560, [2, 2, 0, 0, 0, 0, 0, 0, 1, 1, 1, 4, 4], 6, [1, 0, 0, 1, 1, 0], 2.0),
            (torch.tensor([1, 0, 0]), torch.tensor([0, 1, 1]), torch.tensor([True, False]))]


def _sides(found, y, seen):
    return per_class_accuracy(found, y, seen), per_class_accuracy(found, y, ~seen)


def _with_mean(mean):
    def answer(found, y, seen):
        a, b = _sides(found, y, seen)
        return a, b, mean(a, b)
    return answer


def _over_rows(found, y, seen):
    right, of_seen = (found == y).float(), seen[y]
    a, b = right[of_seen].mean(), right[~of_seen].mean()
    return a, b, harmonic_mean(a, b)


def _empty_classes_as_wrong(found, y, seen):
    members = torch.nn.functional.one_hot(y, len(seen)).float()
    right = (found == y).float() @ members / members.sum(0).clamp(min=1)
    a, b = right[seen].mean(), right[~seen].mean()
    return a, b, harmonic_mean(a, b)


def _by_predicted_class(found, y, seen):
    a, b = _sides(y, found, seen)
    a, b = a.nan_to_num(), b.nan_to_num()
    return a, b, harmonic_mean(a, b)


def _right_kind(found, y, seen):
    kind = torch.where(seen[found] == seen[y], y, -1)
    a, b = _sides(kind, y, seen)
    return a, b, harmonic_mean(a, b)


def _swapped(found, y, seen):
    a, b = _sides(found, y, seen)
    return b, a, harmonic_mean(a, b)


ACCURACY = Exercise(
    id="06.generalised_accuracy",
    reference=generalised_accuracy,
    cases=_accuracy_cases,
    hints=(
        "First one number per class: of its own rows, how many are right? Then two means, over the seen and over the unseen "
        "classes.",
        "A class without rows has no accuracy and is left out of the mean. The harmonic mean of a and b is 2ab / (a + b), "
        "and 0 where both are 0.",
        "`members = F.one_hot(y, C)` is [N, C]; `(found == y).float() @ members.float() / members.sum(0)` is each class's "
        "accuracy. Keep the classes with `seen & (members.sum(0) > 0)`.",
    ),
    mistakes=(
        Mistake(_over_rows,
                "Every row counts alike, so a class with many rows counts more. Take each class's own accuracy first, and "
                "then the mean over classes."),
        Mistake(_with_mean(lambda a, b: (a + b) / 2),
                "The arithmetic mean: a model that never predicts an unseen class keeps half of it. The harmonic mean gives "
                "it nothing."),
        Mistake(_with_mean(lambda a, b: (a * b).sqrt()),
                "The geometric mean; what is asked for is 2ab / (a + b)."),
        Mistake(_with_mean(lambda a, b: harmonic_mean(a, b) / 2),
                "ab / (a + b): the factor 2 is missing, so that equal accuracies would not have themselves for a mean."),
        Mistake(_with_mean(torch.minimum),
                "The smaller of the two. The harmonic mean lies between them, nearer to the smaller."),
        Mistake(_with_mean(lambda a, b: 2 * a * b / (a + b)),
                "Where both accuracies are 0, 2ab / (a + b) is 0 / 0, which is NaN. The harmonic mean is 0 there."),
        Mistake(_empty_classes_as_wrong,
                "A class without a single row counts as all wrong. It has no accuracy: leave it out of the mean."),
        Mistake(_by_predicted_class,
                "Right answers are divided by how often a class was *predicted* (precision). Divide by how many rows it "
                "has."),
        Mistake(_right_kind,
                "A row counts as right if a class of the right *kind*, seen or unseen, was predicted. The class itself must be "
                "right."),
        Mistake(_swapped, "Seen and unseen have changed places: return (seen, unseen, harmonic mean)."),
    ),
    title="Seen, unseen, and their harmonic mean", difficulty=2, importance=5, minutes=10)


# --- calibrated_predict ----------------------------------------------------------------------------------------

def _calibrated_cases():
    def case(seed, rows, seen, factor, middle=0.0):
        seen = torch.tensor(seen, dtype=torch.bool)
        return normal(seed, rows, len(seen)) + 1.5 * seen + middle, seen, factor
    return [case(570, 40, [1, 1, 0, 1, 0], 1.5), case(580, 30, [0, 1, 1, 0, 1, 1], 0.6, -3.0), case(590, 20, [1, 0, 0, 1], -0.8),
            case(592, 10, [0, 1, 0, 1], torch.inf)]


def _shifted(of_seen, of_unseen):
    """Add to the scores what two functions make of the factor, for the seen and for the unseen classes."""
    return lambda scores, seen, factor: torch.where(seen, scores + of_seen(factor), scores + of_unseen(factor)).argmax(-1)


def _times_seen(sign):
    return lambda scores, seen, factor: (scores + sign * factor * seen).argmax(-1)


def _place_in_joined_lists(scores, seen, factor):
    return torch.cat([scores[:, seen] - factor, scores[:, ~seen]], 1).argmax(-1)


CALIBRATED = Exercise(
    id="06.calibrated_predict",
    reference=calibrated_predict,
    cases=_calibrated_cases,
    hints=(
        "All classes compete; some start with a handicap. Which ones are scored too high, and why?",
        "`torch.where(seen, a, b)` takes a where a class is seen and b elsewhere. `seen` is [C], and broadcasts over rows.",
        "`torch.where(seen, scores - factor, scores).argmax(-1)`.",
    ),
    mistakes=(
        Mistake(_times_seen(-1),
                "Right for every finite factor. But the factor may be ∞, and ∞ · 0 is NaN: unseen classes lose their scores. Take "
                "it off where it belongs: `torch.where(seen, scores - factor, scores)`."),
        Mistake(_shifted(lambda factor: factor, lambda factor: 0.0),
                "The factor is added to the seen classes, or taken off the unseen ones, which is the same: they were ahead already. "
                "Take it off the seen."),
        Mistake(_times_seen(1),
                "The factor is added to the seen classes: they were ahead already, so take it off. (And by `torch.where`: the "
                "factor may be ∞, and ∞ · 0 is NaN.)"),
        Mistake(lambda scores, seen, factor: scores.argmax(-1),
                "The factor is not used, or it is taken off all classes, which changes nothing."),
        Mistake(lambda scores, seen, factor: (scores - factor).argmax(-1),
                "The factor is taken off all classes: then it changes nothing. Only the seen ones hand it in."),
        Mistake(lambda scores, seen, factor: torch.where(seen, scores - factor, scores).max(-1),
                "`.max(-1)` returns the highest scores *and* where they stand. The classes are its `.indices`; `.argmax(-1)` "
                "gives them alone."),
        Mistake(lambda scores, seen, factor: torch.where(seen, (scores - factor).clamp(min=0), scores).argmax(-1),
                "What is left of a seen class's score is not let below 0. Scores may be negative, and unseen classes may win "
                "with such a one."),
        Mistake(lambda scores, seen, factor: scores.masked_fill(seen, -torch.inf).argmax(-1),
                "Only unseen classes can win: that is the classical setting, where somebody has told the model that the "
                "picture is of none it knows."),
        Mistake(lambda scores, seen, factor: scores.masked_fill(~seen, -torch.inf).argmax(-1),
                "Only seen classes can win."),
        Mistake(lambda scores, seen, factor: torch.where(seen, scores * (1 - factor), scores).argmax(-1),
                "The seen classes' scores are scaled by 1 − factor. Take the same amount off each, whatever its score; scaled, "
                "a negative score would rise."),
        Mistake(lambda scores, seen, factor: torch.where(seen, scores.softmax(-1) - factor, scores.softmax(-1)).argmax(-1),
                "The factor is taken off probabilities: it belongs to the scores as they are."),
        Mistake(_place_in_joined_lists,
                "The place in a list of seen classes followed by unseen ones, not the number of the class. Let all classes "
                "keep their columns."),
        Mistake(_shifted(lambda factor: -factor, lambda factor: factor),
                "Twice the factor: taken off the seen classes *and* added to the unseen ones. Only the difference counts."),
        Mistake(lambda scores, seen, factor: torch.where(
                    scores.amax(-1) >= factor, scores.masked_fill(~seen, -torch.inf).argmax(-1),
                    scores.masked_fill(seen, -torch.inf).argmax(-1)),
                "A row goes to the seen classes if its highest score passes the factor (a novelty gate). Calibrated stacking "
                "compares the best seen class with the best unseen one."),
    ),
    title="Calibrated prediction", difficulty=1, importance=4, minutes=5)


# --- info_nce --------------------------------------------------------------------------------------------------

def _info_nce_cases():
    def case(seed, items, count):
        items = torch.tensor(items)
        log_q = normal(seed, count).log_softmax(0)[items]
        return normal(seed + 1, len(items), len(items), grad=True), items, log_q
    return [case(600, [3, 0, 1, 3, 2, 3], 5), case(610, [4, 2, 0, 1], 6), case(620, [1, 0, 1, 0, 2], 3)]


def _masked(scores, items, fill=-torch.inf, off_diagonal=True):
    """Return the scores with ``fill`` where another row holds the same item."""
    same = items.unsqueeze(-1) == items.unsqueeze(-2)
    return scores.masked_fill(same & ~torch.eye(len(items), dtype=torch.bool) if off_diagonal else same, fill)


def _own_share(scores, dim=-1):
    return -scores.log_softmax(dim).diagonal()


def _own_uncorrected(scores, items, log_q):
    own = torch.diag_embed(scores.diagonal())
    eye = torch.eye(len(items), dtype=torch.bool)
    return _own_share(_masked(torch.where(eye, own, scores - log_q), items))


def _others_alone(scores, items, log_q):
    corrected = scores - log_q
    return _masked(corrected, items, off_diagonal=False).logsumexp(-1) - corrected.diagonal()


def _every_item_once(scores, items, log_q):
    same = items.unsqueeze(-1) == items.unsqueeze(-2)
    again = torch.tril(same, -1).any(-1)                                                # [B] an earlier row has this item
    left_out = (same | again) & ~torch.eye(len(items), dtype=torch.bool)
    return _own_share((scores - log_q).masked_fill(left_out, -torch.inf))


def _hits_on_one_side(side):
    """Leave out the same item in later rows alone (``triu``), or in earlier ones alone (``tril``)."""
    def found(scores, items, log_q):
        same = items.unsqueeze(-1) == items.unsqueeze(-2)
        return _own_share((scores - log_q).masked_fill(side(same), -torch.inf))
    return found


INFO_NCE = Exercise(
    id="06.info_nce",
    reference=info_nce,
    cases=_info_nce_cases,
    hints=(
        "It is a cross-entropy with as many classes as the batch has rows: row b's right class is column b. Two things "
        "happen to the scores before the softmax.",
        "Column j stands for item j, so its log Q is taken from the whole column, own item included: `scores - log_q` "
        "broadcasts over rows. An accidental hit is a column whose item equals the row's own but which is not the diagonal.",
        "`same = items.unsqueeze(-1) == items.unsqueeze(-2)`; fill `same & ~torch.eye(B, dtype=torch.bool)` with −∞; then "
        "`-corrected.log_softmax(-1).diagonal()`.",
    ),
    mistakes=(
        Mistake(lambda scores, items, log_q: _own_share(_masked(scores, items)),
                "log Q has no effect: it is not subtracted, or it is the same for all columns of a row, and a softmax over the "
                "columns does not notice a constant. It belongs to the item, hence to the column."),
        Mistake(lambda scores, items, log_q: _own_share(_masked(scores + log_q, items)),
                "The sign of the correction: log Q is subtracted. An item that comes along often as a negative must not be "
                "pushed down more for it."),
        Mistake(_own_uncorrected,
                "The negatives are corrected and the own item is not. It is one of the batch's draws like all others; left as "
                "it is, it competes with scores on another scale, and Q is not divided out of anything."),
        Mistake(lambda scores, items, log_q: _own_share(_masked(scores - log_q.exp(), items)),
                "Q itself is subtracted. The odds exp(s) are divided by Q, so log Q is subtracted from s."),
        Mistake(lambda scores, items, log_q: _own_share(scores - log_q),
                "Accidental hits count as negatives: where another row holds the same item, the user is taught not to want "
                "what was just clicked."),
        Mistake(lambda scores, items, log_q: _own_share(_masked(scores - log_q, items, fill=0.0)),
                "Accidental hits are filled with 0, and exp(0) = 1 still counts in the sum. Fill with −∞ before the softmax."),
        Mistake(lambda scores, items, log_q: _own_share(_masked(scores - log_q, items, off_diagonal=False)),
                "The diagonal is masked, too: every item equals itself. The own column must stay (`& ~torch.eye(...)`)."),
        Mistake(_others_alone,
                "The own item is missing in the denominator: this is no softmax, and the loss can be negative. The sum runs over "
                "the own column and the others."),
        Mistake(_every_item_once,
                "Every repeated item is left out but its first row. Only those columns are no negatives that hold the row's *own* "
                "item; that others occur more than once is what log Q accounts for."),
        Mistake(_hits_on_one_side(lambda same: same.triu(1)),
                "Accidental hits are left out right of the diagonal alone. A column of an *earlier* row that holds the row's "
                "own item is one as well; only the diagonal stays."),
        Mistake(_hits_on_one_side(lambda same: same.tril(-1)),
                "Accidental hits are left out left of the diagonal alone. A column of a *later* row that holds the row's own "
                "item is one as well; only the diagonal stays."),
        Mistake(lambda scores, items, log_q: _own_share(_masked(scores, items)) + log_q,
                "log Q is subtracted after the softmax, where it is a constant for each row and moves no gradient. Subtract it "
                "from the scores, before the softmax, where it tells the columns apart."),
        Mistake(lambda scores, items, log_q: _own_share(_masked(scores, items)) - log_q,
                "log Q is added after the softmax, where it is a constant for each row and moves no gradient. Subtract it from "
                "the scores, before the softmax, where it tells the columns apart."),
        Mistake(lambda scores, items, log_q: _own_share(_masked(scores - log_q, items), dim=-2),
                "The softmax runs over the users (down a column): which user clicked the item. Asked for is which item the user "
                "clicked, along a row."),
        Mistake(lambda scores, items, log_q: -_own_share(_masked(scores - log_q, items)),
                "The sign of the loss: it is minus the log share, 0 at best."),
        Mistake(lambda scores, items, log_q: _own_share(_masked(scores - log_q, items)).mean(),
                "The mean over the rows; return the loss of each row, [B]. Whoever trains takes the mean."),
    ),
    title="InfoNCE with log-Q", difficulty=3, importance=5, minutes=15)


EXERCISES = (ESZSL_SOLUTION, POSTERIOR, ACCURACY, CALIBRATED, INFO_NCE,)
