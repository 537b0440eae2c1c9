import copy

import pytest
import torch
from torch.nn.functional import softplus

from mtl_tutorial.data.marketplace import Shop, visits
from mtl_tutorial.fusion.experts import (
    CONTENT,
    FIRST_AGE,
    POSITION,
    PRICE,
    PROFILE,
    QUALITY,
    Collaborative,
    Fields,
    LastClicks,
    Panel,
    Together,
    four_experts,
)
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit

MEMORY = 3
LAST = tuple(f"last_{k}_{what}" for k in (1, 2, 3) for what in ("category", "brand"))
SEES = {                # name -> categorical fields and numeric places, beside scenario and position
    "profile": (PROFILE, ()),
    "item": (("user", "item"), ()),
    "content": (CONTENT, (PRICE, QUALITY)),
    "sequence": (("category", "brand", *LAST), tuple(range(FIRST_AGE, FIRST_AGE + MEMORY))),
}


@pytest.fixture(scope="module")
def rows():
    return visits(Shop.open(seed=1, users=40, items=60), 600, seed=1, memory=MEMORY)


@pytest.fixture(scope="module")
def experts(rows):
    torch.manual_seed(0)
    found = four_experts(rows)
    for expert in found.values():               # away from a start where some numbers are still 0
        for parameter in expert.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return found


@pytest.mark.parametrize("name", SEES)
def test_an_expert_sees_its_own_columns_and_no_other(rows, experts, name):
    fields, numeric = SEES[name]
    with torch.no_grad():
        before, inputs = experts[name](rows.inputs), rows.inputs
        assert before.shape == (len(rows),)
        for place, field in enumerate(rows.field_names):
            other = inputs.categorical.clone()
            other[:, place] = other[:, place].roll(1)
            changed = experts[name](inputs._replace(categorical=other))
            expected = field in fields or (field == "scenario" and name in ("profile", "content"))
            assert (not torch.equal(changed, before)) == expected, field
        for place in range(inputs.numeric.shape[-1]):
            other = inputs.numeric.clone()
            other[:, place] = other[:, place].roll(1)
            changed = experts[name](inputs._replace(numeric=other))
            assert (not torch.equal(changed, before)) == (place in (*numeric, POSITION)), place
        if name in ("item", "sequence"):        # these read the scenario from its own column
            assert not torch.equal(experts[name](inputs._replace(scenario=inputs.scenario.roll(1))), before)


def test_the_collaborative_expert_is_a_factorisation_with_biases(rows, experts):
    expert, user, item = experts["item"], rows.ids("user"), rows.ids("item")
    of_user, of_item = expert.vectors.table.weight.split([40, 60])
    with torch.no_grad():
        for row in range(5):
            u, i = of_user[user[row]], of_item[item[row]]
            place = expert.place.intercept[rows.scenario[row]] + expert.place.slope * rows.numeric[row, POSITION]
            expected = place + u[0] + i[0] + u[1:] @ i[1:]
            torch.testing.assert_close(expert(rows.inputs)[row], expected)


def test_last_clicks_are_weighed_one_by_one(rows, experts):
    expert = experts["sequence"]
    of_category, of_brand = expert.vectors.table.weight.split([13, 31])
    rho = softplus(expert.fading)
    with torch.no_grad():
        for row in (0, 300, 599):
            category, brand = of_category[1 + rows.ids("category")[row]], of_brand[1 + rows.ids("brand")[row]]
            logit = expert.place.intercept[rows.scenario[row]] + expert.place.slope * rows.numeric[row, POSITION]
            logit = logit + category[0] + brand[0] + expert.recency.bias[0]
            for k in range(MEMORY):
                log_age = rows.numeric[row, FIRST_AGE + k]
                logit = logit + expert.recency.weight[0, k] * log_age
                c, b = rows.ids(f"last_{k + 1}_category")[row], rows.ids(f"last_{k + 1}_brand")[row]
                if c > 0:
                    alike = of_category[c][1:] @ category[1:] + of_brand[b][1:] @ brand[1:]
                    logit = logit + (-rho * log_age.exp()).exp() * alike
            torch.testing.assert_close(expert(rows.inputs)[row], logit)


def test_an_older_click_counts_less(rows):
    expert = LastClicks(rows)
    with torch.no_grad():
        expert.vectors.table.weight.fill_(0.5)          # everything is alike
        expert.recency.weight.zero_()
        older = rows.inputs.numeric.clone()
        older[:, FIRST_AGE:] += 1.0
        clicked = rows.ids("last_1") > 0
        change = expert(rows.inputs) - expert(rows.inputs._replace(numeric=older))
    assert (change[clicked] > 0).all()
    assert (change[~clicked] == 0).all()


def test_a_panel_trains_each_expert_as_it_would_learn_by_itself(rows):
    torch.manual_seed(0)
    panel = Panel(four_experts(rows, dim=4))
    alone = copy.deepcopy(panel.experts)
    knobs = {"epochs": 2, "batch_size": 100, "lr": 0.02, "device": "cpu"}
    labelled = rows.with_targets(dict.fromkeys(SEES, rows.targets["click"]))
    fit(panel, labelled, [Task(name) for name in SEES], **knobs)
    for name in SEES:
        single = Panel({name: alone[name]})
        fit(single, labelled, [Task(name)], **knobs)
        torch.testing.assert_close(panel(rows.inputs)[name], single(rows.inputs)[name], rtol=1e-4, atol=1e-5)


def test_a_stack_of_panels_is_each_of_them(rows):
    torch.manual_seed(0)
    panels = [Panel(four_experts(rows, dim=4)) for _ in range(3)]
    found = Stacked(panels)(rows.repeat(3).inputs)
    for r, panel in enumerate(panels):
        for name, logits in panel(rows.inputs).items():
            torch.testing.assert_close(found[name][r], logits)


def test_together_is_the_sum_of_the_experts(rows, experts):
    with torch.no_grad():
        total = sum(expert(rows.inputs) for expert in experts.values())
        torch.testing.assert_close(Together(experts)(rows.inputs), total)


def test_ids_remember_what_a_profile_cannot(rows):
    """Labels drawn by a coin: whoever fits them has learned the rows by heart."""
    torch.manual_seed(0)
    coin = (torch.rand(len(rows)) < 0.5).float()
    labelled = rows.with_targets({"item": coin, "profile": coin})
    panel = Panel({"item": Collaborative(rows), "profile": Fields(rows, (*PROFILE, "scenario"), (POSITION,))})
    tasks = [Task("item"), Task("profile")]
    history = fit(panel, labelled, tasks, epochs=40, batch_size=100, lr=0.02, device="cpu")
    by_heart, at_a_loss = history.losses[-6:].mean(0)
    assert by_heart < 0.3
    assert at_a_loss > 0.5


def test_a_table_without_the_fields_is_refused_by_name(rows):
    with pytest.raises(ValueError, match="no field 'last_1_category'"):
        four_experts(rows.without("last_1_category"))
