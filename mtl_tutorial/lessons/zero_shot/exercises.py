"""The exercises of lesson 06, with the mistakes that learners make and what to tell them."""

import torch

from mtl_tutorial.classroom.cases import normal
from mtl_tutorial.classroom.exercise import Exercise, Mistake
from mtl_tutorial.zero_shot.info_nce import info_nce

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
        Mistake(lambda scores, items, log_q: _own_share(_masked(scores - log_q, items), dim=-2),
                "The softmax runs over the users (down a column): which user clicked the item. Asked for is which item the user "
                "clicked, along a row."),
        Mistake(lambda scores, items, log_q: -_own_share(_masked(scores - log_q, items)),
                "The sign of the loss: it is minus the log share, 0 at best."),
        Mistake(lambda scores, items, log_q: _own_share(_masked(scores - log_q, items)).mean(),
                "The mean over the rows; return the loss of each row, [B]. Whoever trains takes the mean."),
    ),
    title="InfoNCE with log-Q", difficulty=3, importance=5, minutes=15)


EXERCISES = (INFO_NCE,)
