"""What repeats of a small experiment cost as one stacked model, and one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean

from torch import nn

from benchmarks.click_log import click_log, tasks_of
from benchmarks.comparison import Form, Report, main
from benchmarks.report import milliseconds, ratio, table
from benchmarks.rounds import interleaved
from benchmarks.targets import Finding
from mtl_tutorial.evaluation import auc
from mtl_tutorial.inference import predict
from mtl_tutorial.models.mmoe import MMoE
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.repeats import auc_by_repeat, stacked
from mtl_tutorial.training import fit

REPEATS, FIELDS, IDS, DIM, EXPERTS, WIDTHS, TOWER = 8, 8, 50, 4, 4, (15,), (16,)     # as in lesson 01
STEPS = 32
BATCHES = (32, 64, 128, 256, 512)
JUDGED = 64             # rows per step of the small experiment that is held against the target
LOG = click_log(20_000, FIELDS, IDS)
TASKS = tasks_of(LOG)


def new_models() -> Stacked:
    """Return the repeats, the same at every call."""
    return stacked(lambda: MMoE(LOG.schema, TASKS, DIM, EXPERTS, WIDTHS, TOWER), REPEATS, seed=0)


def training(batch: int) -> dict[str, Callable[[], object]]:
    """Return the training of all repeats, both ways, from the same start."""
    models, rows = new_models(), LOG.take(slice(0, STEPS * batch))
    alone, knobs = models.models(), {"epochs": 1, "batch_size": batch}

    def one_by_one() -> None:
        for model in alone:
            fit(model, rows, TASKS, **knobs)

    return {"stacked": lambda: fit(models, rows.repeat(REPEATS), TASKS, **knobs), "one by one": one_by_one}


def mean_auc(models: Stacked | Sequence[nn.Module], epochs: int = 4) -> float:
    """Train the repeats and return their AUC on unseen rows, the mean over repeats and tasks."""
    seen, unseen = LOG.split(0.6, 0.4)
    knobs = {"epochs": epochs, "batch_size": JUDGED, "lr": 3e-3}
    if isinstance(models, Stacked):
        fit(models, seen.repeat(REPEATS), TASKS, **knobs)
        return auc_by_repeat(models, unseen, TASKS).mean()
    scores = []
    for seed, model in enumerate(models):
        fit(model, seen, TASKS, seed=seed, **knobs)
        predicted = predict(model, unseen, TASKS)
        scores += [auc(unseen.targets[task.name], predicted[task.name]) for task in TASKS]
    return mean(scores)


def compare(form: Form) -> Report:
    """Time both ways at several batch sizes, in the quick form at one."""
    batches = (JUDGED,) if form.quick else BATCHES
    found = interleaved({(batch, name): train for batch in batches for name, train in training(batch).items()},
                        form.rounds)
    times = {batch: found[batch, "one by one"].over(found[batch, "stacked"]) for batch in batches}
    rows = [[str(batch), *(milliseconds(found[batch, name].per(STEPS)) for name in ("stacked", "one by one")),
             ratio(times[batch])] for batch in batches]
    result = table(["rows per step", "stacked: ms per step", "one by one: ms per step", "one by one over stacked"],
                   rows)
    body = f"""
{REPEATS} repeats of an MMoE as in lesson 01 ({EXPERTS} experts {list(WIDTHS)}, towers {list(TOWER)}, {FIELDS}
fields of {IDS} ids, dimension {DIM}, {len(TASKS)} tasks), trained by `fit`: as one `Stacked` model, and one after
another. A step is a step of all repeats. Median of {form.rounds} interleaved rounds with quartiles; ratios are
taken round by round. The target is for {JUDGED} rows per step: the more rows, the less of a step is overhead to be
shared.

{result}"""
    if not form.quick:
        models = new_models()
        alone = mean_auc(models.models())
        body += (f"\n\nAUC on unseen rows, mean over repeats and tasks: stacked {mean_auc(models):.4f}, "
                 f"one by one {alone:.4f}.")
    return Report(body, [Finding(f"{REPEATS} repeats one after another over stacked", times[JUDGED].median,
                                 ratio(times[JUDGED]))])


if __name__ == "__main__":
    main("Repeats", __doc__, compare, rounds=20, quick_rounds=5)
