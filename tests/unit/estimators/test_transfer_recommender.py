from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from mtl_tutorial.data.table import Table
from mtl_tutorial.estimators.transfer_recommender import METHODS, TransferRecommender
from mtl_tutorial.evaluation import log_loss


def domain(rows, seed, turn=0.0, level=0.0):
    """Clicks that follow a brand and ten numbers; elsewhere one of them weighs otherwise, or clicks are rarer."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.stack([torch.randint(6, (rows,), generator=draw), torch.randint(3, (rows,), generator=draw)], 1)
    numeric = torch.randn(rows, 10, generator=draw)
    weights = torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1, 1, 2 - turn])
    score = numeric @ weights + (ids[:, 0] - 2.5) + level
    click = (score + 0.5 * torch.randn(rows, generator=draw) > 0).float()
    return Table(ids, (6, 3), numeric, targets={"click": click}, field_names=("brand", "season"))


SOURCE, TARGET, TEST = domain(4000, 0), domain(80, 1, 0.5, -3.0), domain(2000, 2, 0.5, -3.0)


def new(method="full", **arguments):
    knobs = {"epochs": 4, "finetune_epochs": 30, "batch_size": 64, "finetune_lr": 0.01, "random_state": 0}
    return TransferRecommender(method, **{**knobs, **arguments})


@pytest.fixture(scope="module", params=METHODS)
def method(request):
    return request.param


@pytest.fixture(scope="module")
def pretrained(method):
    return new(method).pretrain(SOURCE)


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_few_target_rows_mend_what_the_source_does_not_know(pretrained):
    source_alone = new(pretrained.method).pretrain(SOURCE).score(TEST)
    assert pretrained.finetune(TARGET).score(TEST) > source_alone + 0.1


def test_few_target_rows_teach_more_after_the_source():
    target_alone = new(epochs=30).pretrain(TARGET).score(TEST)
    assert new("frozen").pretrain(SOURCE).finetune(TARGET).score(TEST) > target_alone + 0.03


def test_call_reads_as_one_sentence():
    found = new(epochs=1, finetune_epochs=1).pretrain(SOURCE).finetune(TARGET).predict(TEST)
    assert found.shape == (2000,)
    assert set(found) == {0, 1}


def test_finetuning_leaves_the_pretrained_weights_alone(pretrained):
    before = weights_of(pretrained.source_model_)
    pretrained.finetune(TARGET)
    after = pretrained.source_model_.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(parameter.requires_grad for parameter in pretrained.source_model_.parameters())


def test_second_finetuning_starts_from_the_source_again(pretrained):
    first = pretrained.finetune(TARGET).predict_proba(TEST)
    pretrained.finetune(domain(80, 3))
    assert not np.array_equal(pretrained.predict_proba(TEST), first)
    np.testing.assert_array_equal(pretrained.finetune(TARGET).predict_proba(TEST), first)


MOVED = {"full": {"encoder", "body", "towers"}, "discriminative": {"encoder", "body", "towers"},
         "l2_sp": {"encoder", "body", "towers"}, "frozen": {"towers"}, "lora": {"towers"}}


def test_method_moves_what_it_says(pretrained, method):
    pretrained.finetune(TARGET)
    start, end = weights_of(pretrained.source_model_), pretrained.model_.state_dict()
    moved = {name.split(".")[0] for name in start if name in end and not torch.equal(start[name], end[name])}
    assert moved == MOVED[method]


def distance(model, part):
    start, end = weights_of(model.source_model_), model.model_.state_dict()
    return sum((end[name] - start[name]).square().sum().item() for name in start if name.startswith(part)) ** 0.5


def test_lora_moves_the_body_by_an_update_of_its_rank():
    model = new("lora", rank=2).pretrain(SOURCE).finetune(TARGET)
    layer = model.model_.body.layers[0]
    update = layer.merge().weight - layer.base.weight
    assert torch.linalg.matrix_rank(update[0], atol=1e-5) == 2
    assert torch.equal(layer.base.weight, model.source_model_.body.layers[0].weight)


def test_discriminative_rates_hold_the_deeper_layers_back():
    full, discriminative = (new(name).pretrain(SOURCE).finetune(TARGET) for name in ("full", "discriminative"))
    assert distance(discriminative, "body") < 0.6 * distance(full, "body")
    assert distance(discriminative, "encoder") < 0.4 * distance(full, "encoder")
    assert distance(discriminative, "towers") > 0.6 * distance(full, "towers")


def test_shorter_leash_ends_nearer_to_the_start():
    gone = [distance(new("l2_sp", leash=leash).pretrain(SOURCE).finetune(TARGET), "") for leash in (0.0, 0.1, 10.0)]
    full = distance(new("full").pretrain(SOURCE).finetune(TARGET), "")
    assert gone[0] == pytest.approx(full, rel=1e-5)
    assert gone[0] > 1.1 * gone[1] > 2 * gone[2]


def test_without_finetuning_the_source_alone_speaks(pretrained):
    again = new(pretrained.method).pretrain(SOURCE)
    before = again.predict_proba(TEST)
    assert not np.array_equal(again.finetune(TARGET).predict_proba(TEST), before)
    np.testing.assert_array_equal(again.pretrain(SOURCE).predict_proba(TEST), before)


def test_several_sources_are_one_table_of_their_rows():
    other = domain(4000, 5, turn=4.0)
    both = Table(torch.cat([SOURCE.categorical, other.categorical]), (6, 3),
                 torch.cat([SOURCE.numeric, other.numeric]),
                 targets={"click": torch.cat([SOURCE.targets["click"], other.targets["click"]])},
                 field_names=("brand", "season"))
    one = new().pretrain(SOURCE)
    assert new().pretrain(both).score(other) > one.score(other) + 0.05


def test_validation_rows_keep_the_best_weights():
    model = new(finetune_epochs=100, finetune_lr=0.01).pretrain(SOURCE)
    unwatched = log_loss(TEST.targets["click"], model.finetune(TARGET).predict_proba(TEST))
    watched = log_loss(TEST.targets["click"], model.finetune(TARGET, validation=TEST).predict_proba(TEST))
    assert watched < unwatched - 0.1


def test_probabilities_are_of_no_and_yes(pretrained):
    chances = pretrained.predict_proba(TEST)
    assert chances.shape == (2000, 2)
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(pretrained.predict(TEST), chances.argmax(1))


def test_score_is_the_accuracy_of_observed_rows(pretrained):
    right = pretrained.predict(TEST) == TEST.targets["click"].numpy()
    seen = torch.arange(2000) < 50
    masked = TEST.with_targets(TEST.targets, {"click": seen})
    assert pretrained.score(TEST) == right.mean()
    assert pretrained.score(masked) == right[:50].mean()


def test_random_state_decides_alone():
    knobs = {"epochs": 1, "finetune_epochs": 1}
    first = new(**knobs).pretrain(SOURCE).finetune(TARGET).predict_proba(TEST)
    torch.manual_seed(7)
    np.testing.assert_array_equal(new(**knobs).pretrain(SOURCE).finetune(TARGET).predict_proba(TEST), first)
    other = new(random_state=1, **knobs).pretrain(SOURCE).finetune(TARGET).predict_proba(TEST)
    assert not np.array_equal(other, first)


def test_fit_leaves_every_global_random_state_as_it_was(method):
    before, numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    new("full", epochs=1, finetune_epochs=1).pretrain(SOURCE).finetune(TARGET)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpy, np.random.get_state()[1])


def test_clone_copies_the_arguments():
    model = new("lora", rank=2, widths=(8,))
    assert clone(model).get_params() == model.get_params()


# --- refusals ------------------------------------------------------------------------------------------------

def ids_of(table, row, field, value):
    ids = table.categorical.clone()
    ids[row, field] = value
    return replace(table, categorical=ids, cardinalities=(60, 30))


NO_LABEL, SPEND = TARGET.with_targets({}), TARGET.with_targets({"click": TARGET.numeric[:, 0]})


@pytest.mark.parametrize(("rows", "message"), [
    (TARGET.without("season"), "lacks season: the fields must be brand, season"),
    (replace(TARGET, field_names=("brand", "month")), "lacks season and has month too many"),
    (replace(TARGET, numeric=TARGET.numeric[:, :3]), "has 3 numeric features, it must have 10"),
    (ids_of(TARGET, 7, 0, 6), "categorical field 'brand', row 7: id 6 is outside the vocabulary 0 … 5"),
])
def test_other_columns_and_unseen_categories_are_refused_everywhere(pretrained, rows, message):
    with pytest.raises(ValueError, match=f"the target:? {message}"):
        pretrained.finetune(rows)
    with pytest.raises(ValueError, match=f"the validation table:? {message}"):
        pretrained.finetune(TARGET, validation=rows)
    with pytest.raises(ValueError, match=f"the table of pairs:? {message}"):
        pretrained.predict(rows)


@pytest.mark.parametrize(("rows", "message"), [
    (NO_LABEL, "no target 'click'; the targets are none"),
    (SPEND, "target 'click' is regression, but it was learned as binary"),
    (TARGET.with_targets(TARGET.targets, {"click": torch.zeros(80, dtype=torch.bool)}), "observed in no row"),
])
def test_target_without_the_label_is_refused(pretrained, rows, message):
    for call in (pretrained.finetune, pretrained.score, lambda rows: pretrained.finetune(TARGET, rows)):
        with pytest.raises(ValueError, match=f"^the (target|table of pairs|validation table): .*{message}"):
            call(rows)


@pytest.mark.parametrize(("arguments", "source", "message"), [
    ({"method": "half"}, SOURCE, "method 'half' is none of full, frozen, lora, discriminative, l2_sp"),
    ({}, NO_LABEL, "the source has the targets none: name one with target="),
    ({}, SOURCE.with_targets({"click": SOURCE.targets["click"], "buy": SOURCE.targets["click"]}),
     "the source has the targets buy, click: name one with target="),
    ({"target": "cart"}, SOURCE, "no target 'cart'; the targets are click"),
    ({}, SPEND, "target 'click' is regression: this recommender learns floats of 0 and 1"),
    ({}, replace(ids_of(SOURCE, 7, 1, 3), cardinalities=(6, 3)),
     "the source: categorical field 'season', row 7: id 3 is outside the vocabulary 0 … 2"),
    ({"method": "lora", "widths": ()}, SOURCE, "method 'lora' needs layers in the body, but widths is empty"),
    ({"method": "discriminative", "widths": ()}, SOURCE, "'discriminative' needs layers in the body"),
    ({"method": "discriminative"}, Table.from_features(SOURCE.numeric, targets=SOURCE.targets),
     "method 'discriminative' needs embeddings, but the table has no categorical field: choose another method"),
])
def test_source_that_cannot_be_learned_is_refused(arguments, source, message):
    with pytest.raises(ValueError, match=message):
        new(**arguments).pretrain(source)


def test_failed_finetuning_keeps_the_last_model(pretrained):
    before = pretrained.finetune(TARGET).predict_proba(TEST)
    with pytest.raises(ValueError, match="lacks season"):
        pretrained.finetune(TARGET.without("season"))
    np.testing.assert_array_equal(pretrained.predict_proba(TEST), before)


@pytest.mark.parametrize(("source", "validation"), [(NO_LABEL, None), (SOURCE, NO_LABEL),
                                                    (SOURCE.without("season"), TARGET)])
def test_failed_pretraining_keeps_what_was_learned(source, validation):
    draw = np.random.RandomState(0)
    model = new(epochs=1, finetune_epochs=1, random_state=draw).pretrain(SOURCE).finetune(TARGET)
    before, known = model.predict_proba(TEST), dict(vars(model))
    with pytest.raises(ValueError, match=r"target|season"):
        model.set_params(target="click").pretrain(source, validation)
    np.testing.assert_array_equal(model.predict_proba(TEST), before)
    assert {**vars(model), "target": None} == known


def test_method_changed_after_pretraining_is_checked_again():
    model = new(epochs=0).pretrain(SOURCE).set_params(method="half")
    with pytest.raises(ValueError, match="method 'half' is none of full"):
        model.finetune(TARGET)


def test_size_of_the_network_is_as_asked_for():
    model = new(epochs=0, dim=3, widths=(7, 5), tower=(4,)).pretrain(SOURCE).source_model_
    shapes = {tuple(parameter.shape[-2:]) for name, parameter in model.named_parameters() if "weight" in name}
    encoded = 2 * 3 + 10
    assert {(encoded, 7), (7, 5), (5, 4), (4, 1)} == {tuple(sorted(s, reverse=True)) for s in shapes if 9 not in s}


def test_weight_decay_shrinks_the_weights():
    models = [new(weight_decay=decay).pretrain(SOURCE).source_model_ for decay in (0.0, 1.0)]
    sizes = [sum(p.square().sum().item() for p in model.parameters()) for model in models]
    assert sizes[1] < 0.5 * sizes[0]


@pytest.mark.parametrize("call", ["finetune", "predict", "predict_proba", "score"])
def test_before_pretraining_every_call_says_what_to_do(call):
    with pytest.raises(NotFittedError, match=r"nothing to \w+ from: call pretrain\(source\) first"):
        getattr(new(), call)(TARGET)
