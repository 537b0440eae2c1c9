"""The exercises of lesson 07, with the mistakes that learners make and what to tell them."""
import torch
from torch.nn import functional as F

from mtl_tutorial.classroom.cases import normal
from mtl_tutorial.classroom.exercise import Exercise, Mistake
from mtl_tutorial.fusion.distillation import distillation_loss
from mtl_tutorial.fusion.mutual_learning import mutual_learning_loss

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
            log_softmax=lambda logits: logits.log_softmax(-1), total=lambda own, kl, weight: own + weight * kl):
    def loss(logits, targets, weight):
        log_p = log_softmax(logits)
        return total(_own_loss(log_p, targets), over(pairs(log_p)), weight)
    return loss


def _mean_peer(log_p):
    """Return KL(mean of the peers ‖ p_k) on the diagonal, so that the mean over peers is this one number."""
    p = log_p.detach().exp()
    peers = ((p.sum(0) - p) / (len(p) - 1)).log()                                                   # [S, B, C]
    return torch.diag((peers.exp() * (peers - log_p)).sum(-1).mean(-1)) * (len(p) - 1)


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
               balance=lambda weight: (1 - weight, weight)):
    def loss(logits, teacher_logits, targets, temperature, weight):
        hard = F.cross_entropy(logits / hard_at(temperature), targets)
        teacher = (teacher_logits / teacher_at(temperature)).log_softmax(-1)
        student = (logits / student_at(temperature)).log_softmax(-1)
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
    ),
    title="Learning from soft labels", difficulty=2, importance=5, minutes=10)


EXERCISES = (MUTUAL, DISTILLATION)
