import random

import numpy as np
import pytest
import torch

from mtl_tutorial.classroom import check
from mtl_tutorial.classroom import exercise as catalogue
from mtl_tutorial.classroom.diagnosis import diagnose
from mtl_tutorial.classroom.exercise import Exercise, Mistake
from mtl_tutorial.classroom.progress import progress

RIGHT = "torch.einsum('beh,be->bh', e, g.softmax(-1))"


def answer(shell, *body, id="01.mix_experts", arguments="e, g"):
    """Run a cell with the learner's function; return what ``check`` said."""
    lines = "\n".join(f"    {line}" for line in body)
    return shell.texts("import torch, random\nfrom mtl_tutorial.classroom import check\n"
                       f"def mix({arguments}):\n    '''Mix.'''\n{lines}\n\nmix = check('{id}', mix)")[0]


def test_right_answer_is_returned_and_recorded(shell, mix):
    text = answer(shell, f"return {RIGHT}")
    assert text.startswith("01.mix_experts · solved")
    assert shell["mix"].__module__ == "__main__"
    assert progress().solved() == {"01.mix_experts"}


@pytest.mark.parametrize("body", [("...",), ("pass",), ("# to do", "..."), ("'more text'", "...")])
def test_stub_is_not_attempted_and_tells_what_to_type(shell, mix, body):
    text = answer(shell, *body)
    assert text.startswith("01.mix_experts · not attempted · Mix experts · difficulty ●●○○○")
    assert 'hint("01.mix_experts")' in text
    assert 'solution("01.mix_experts")' in text
    assert shell["mix"] is mix.reference
    assert progress().attempts("01.mix_experts") == 0


def test_forgotten_return_is_an_attempt(shell, mix):
    assert "was `return` forgotten?" in answer(shell, f"mixed = {RIGHT}")
    assert progress().attempts("01.mix_experts") == 1


def test_reference_is_no_answer(shell, mix):
    answer(shell, "return e.bogus")
    text = shell.texts("mix = check('01.mix_experts', mix)")[0]
    assert "re-run its whole cell" in text
    assert progress().attempts("01.mix_experts") == 1
    assert progress().solved() == set()


@pytest.mark.parametrize(("body", "said"), [
    ([f"return {RIGHT.replace('-1', '0')}"], "the softmax runs over the batch, not over the experts"),
    (["return (e * g[..., None]).sum(1)"], "the gate's logits were used as weights"),
    ([f"return {RIGHT.replace('g.', 'g.detach().')}"], "the gate is detached: it never learns"),
    (["return torch.einsum('beh,be->bh', e, g).detach()"], "the gate's logits were used as weights"),
    ([f"return {RIGHT}.detach()"], "the result is detached from the graph"),
    ([f"return {RIGHT.replace(', e,', ', e.detach(),')}"], "no gradient reaches `expert_outputs`"),
    ([f"mixed = {RIGHT}", "return mixed.detach() + 2 * (mixed - mixed.detach())"],
     "the gradient is not: `gradient of expert_outputs`"),
    ([f"mixed = {RIGHT}", "mixed.sum().backward()", "return mixed"], "the backward pass through them fails"),
    (["e.data += 1", f"return {RIGHT.replace(' e,', ' e - 1,')}"], "changed its argument `expert_outputs`"),
    (["return e"], "`output` has shape [4, 3, 2], expected [4, 2]"),
    (["return e"], "The arguments were: expert_outputs [4, 3, 2], gate_logits [4, 3]"),
    ([f"return {RIGHT}.float()"], "has dtype torch.float32, expected torch.float64"),
    ([f"return {RIGHT}.to('meta')"], "has device meta, expected cpu"),
    ([f"return {RIGHT} / 0"], "8 of 8 elements are NaN or infinite"),
    ([f"return {RIGHT} * 3"], "The values are wrong: `output`: 8 of 8 elements differ; at [0, 0] got"),
    ([f"return [{RIGHT}]"], "`output` is a tuple or list, expected a tensor"),
    ([f"return {RIGHT}.sum().item()"], "was .item() called?"),
    (["return ..."], "`output` is `...`, expected a tensor"),
    (["yield e"], "`output` is a generator, expected a tensor"),
    (["raise SystemExit(3)"], "SystemExit: 3"),
    (["e[0, 0, 0] = 1", f"return {RIGHT}"], "In line 5: `e[0, 0, 0] = 1`"),
])
def test_wrong_answer_is_explained(shell, mix, body, said):
    text = answer(shell, *body)
    assert text.startswith("01.mix_experts · not yet")
    assert said in text
    assert shell["mix"] is mix.reference


def test_exception_shows_its_last_line_and_the_line_of_the_cell(shell, mix):
    text = answer(shell, "weights = g.softmax(-1)", "", "return weights @ e[:, 99]")
    assert "IndexError: index 99 is out of bounds for dimension 1 with size 3" in text
    assert "In line 7: `return weights @ e[:, 99]`" in text


def test_line_is_the_callers_when_a_helper_of_another_cell_raises(shell, mix):
    shell.run("def helper(x):\n\n\n    return x.bogus")
    text = answer(shell, "y = helper(e)", "return y")
    assert "'Tensor' object has no attribute 'bogus'" in text
    assert "In line 5: `y = helper(e)`" in text


def test_error_in_the_call_itself_names_the_arguments(shell, mix):
    text = answer(shell, "return e", arguments="e")
    assert "It cannot be called with (expert_outputs, gate_logits): too many positional arguments" in text


def test_feedback_never_begins_like_a_claim(shell, mix):
    for body in ("...", "return e", f"return {RIGHT}"):
        assert answer(shell, body)[0] not in "✓✗"


def test_feedback_has_a_box_that_escapes_what_it_quotes(shell, mix):
    code = "from mtl_tutorial.classroom import check\ndef f(e, g):\n    raise ValueError('<b>' + chr(96))\n"
    [output] = shell.run(code + "f = check('01.mix_experts', f)")
    assert "&lt;b&gt;" in output.data["text/html"]
    assert "<b>'" not in output.data["text/html"]


def test_check_leaves_random_state_and_grad_mode_alone(shell, mix):
    def state():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    before = state()
    answer(shell, "random.seed(1); torch.manual_seed(2); torch.set_grad_enabled(False)", "return torch.rand(4, 2)")
    answer(shell, "return x", id="01.heads", arguments="x, tower")
    assert state() == before
    assert torch.is_grad_enabled()


def test_every_call_starts_from_the_same_seed(mix):
    noisy = Exercise("01.noisy", lambda x: x + torch.rand(3), lambda: [(torch.zeros(3),)] * 2, ("a",), ())
    assert diagnose(noisy, lambda x: torch.rand(3) + x) is None


def test_each_call_gets_fresh_clones(mix):
    seen = []

    def remember(expert_outputs, gate_logits):
        seen.append(expert_outputs)
        return mix.reference(expert_outputs, gate_logits)
    assert check("01.mix_experts", remember) is remember
    check("01.mix_experts", remember)
    assert len({id(tensor) for tensor in seen}) == len(seen) == 4
    assert all(tensor.requires_grad and tensor.is_leaf for tensor in seen)


@pytest.mark.parametrize(("body", "said"), [
    ("return {'click': tower(x), 'pairs': (x.sum(-1), 2.5)}", "solved"),
    ("return {'click': tower(x), 'pairs': [x.sum(-1), 2.5]}", "solved"),
    ("return {'click': tower(x), 'pairs': (x.sum(-1), 2.0)}", "`output['pairs'][1]`: got 2, expected 2.5"),
    ("return {'click': tower(x)}", "lacks ['pairs']"),
    ("return {'click': tower(x).detach(), 'pairs': (x.sum(-1), 2.5)}", "the result is detached from the graph"),
    ("return {'click': x @ tower.weight.T.detach() + tower.bias, 'pairs': (x.sum(-1), 2.5)}",
     "no gradient reaches `tower.weight`"),
    ("tower.bias.data += 1; return {'click': tower(x) - 1, 'pairs': (x.sum(-1), 2.5)}",
     "changed its argument `tower` in place"),
])
def test_modules_and_nested_results_are_compared_by_path(shell, mix, body, said):
    assert said in answer(shell, body, id="01.heads", arguments="x, tower")


def test_gradient_where_none_should_flow_is_named():
    stop = Exercise("01.stop", lambda x: x.detach() * 2, lambda: [(torch.ones(3, requires_grad=True),)], ("a",), ())
    assert "flows into `x`, where none should" in diagnose(stop, lambda x: x * 2).lines[0]


def test_keyboard_interrupt_passes(mix):
    def slow(expert_outputs, gate_logits):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        check("01.mix_experts", slow)


def test_what_is_no_function_is_said(shell, mix):
    shell["mix"] = torch.ones(3)
    text = shell.texts("from mtl_tutorial.classroom import check; mix = check('01.mix_experts', mix)")[0]
    assert "not a function" in text
    assert shell["mix"] is mix.reference


def test_function_without_source_counts_as_attempted(mix):
    namespace = {}
    exec("def f(e, g): ...", namespace)
    assert check("01.mix_experts", namespace["f"]) is mix.reference
    assert progress().attempts("01.mix_experts") == 1


@pytest.mark.parametrize("id", ["01.mix_expert", "99.other", "mix"])
def test_unknown_id_is_the_authors_error(mix, id):
    with pytest.raises(KeyError, match=r"there is no exercise .*01\.mix_experts"):
        check(id, lambda: None)


def test_malformed_id_is_refused():
    with pytest.raises(ValueError, match="use the lesson's number and words"):
        Exercise("1.Mix", len, list, (), ())


def test_reference_that_fails_is_reported_as_such(mix):
    broken = Exercise("01.broken", lambda x: x.bogus, lambda: [(1,)], ("a",), ())
    with pytest.raises(RuntimeError, match=r"01\.broken: the reference fails on its own case"):
        diagnose(broken, lambda x: x)


@pytest.mark.parametrize(("body", "said"), [
    ("return torch.cat([tower(x), tower(x)])", "`tower` was called 2 times where 1 would do"),
    ("y = tower(x); return torch.cat([y, y])", "solved"),
    ("y = x @ tower.weight.T + tower.bias; return torch.cat([y, y])", "solved"),
])
def test_module_called_more_often_than_needed_is_named(shell, monkeypatch, body, said):
    sparing = Exercise("01.twice", lambda x, tower: tower(x).repeat(2, 1),
                       lambda: [(torch.ones(6, 3), torch.nn.Linear(3, 1))], ("a",), (), sparing=("tower",))
    monkeypatch.setattr(catalogue, "exercises_of", lambda number: {sparing.id: sparing})
    assert said in answer(shell, body, id="01.twice", arguments="x, tower")


def test_order_of_a_dict_does_not_matter():
    pair = Exercise("01.pair", lambda x: {"a": x, "b": 2 * x}, lambda: [(torch.ones(3, requires_grad=True),)],
                    ("a",), ())
    assert diagnose(pair, lambda x: {"b": 2 * x, "a": x}) is None


def test_hook_on_an_argument_is_no_gradient_of_the_result():
    turned = Exercise("01.turned", lambda x: x.detach() - (x - x.detach()),
                      lambda: [(torch.ones(3, requires_grad=True, dtype=torch.float64),)], ("a",), ())

    def hooked(x, on):
        on.register_hook(torch.neg)
        return on
    assert "the gradient is not" in diagnose(turned, lambda x: hooked(x, on=x)).lines[0]
    assert diagnose(turned, lambda x: hooked(x, on=x.clone())) is None


def test_computed_argument_stays_computed_and_its_gradient_is_compared():
    seen = []
    spread = Exercise("01.spread", lambda x: 2 * x, lambda: [(torch.ones(2, requires_grad=True).expand(3, 2),)],
                      ("a",), ())
    assert diagnose(spread, lambda x: seen.append(x.is_leaf) or 2 * x) is None
    assert seen == [False]
    assert "the gradient is not" in diagnose(spread, lambda x: x.detach() + x).lines[0]


def test_error_of_a_known_mistake_is_explained_before_it_is_quoted():
    half = Exercise("01.half", lambda x: x["a"], lambda: [({"a": 1.0},)], ("a",),
                    (Mistake(lambda x: x["b"], "There is no b.", raises="KeyError"),))
    told = diagnose(half, lambda x: x["c"]).lines
    assert told[:2] == ("There is no b.", "KeyError: 'c'")
    assert diagnose(half, lambda x: 1 / 0).lines[0] == "ZeroDivisionError: division by zero"


def test_argument_changed_in_place_is_named_before_a_known_mistake():
    plus = Exercise("01.plus", lambda x: x + 1, lambda: [(torch.ones(3),)], ("a",),
                    (Mistake(lambda x: x + 2, "Two."),))
    assert "changed its argument `x`" in diagnose(plus, lambda x: x.add_(2)).lines[0]
    assert diagnose(plus, lambda x: x + 2).lines == ("Two.",)
