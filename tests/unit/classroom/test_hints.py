import math

import pytest

from mtl_tutorial.classroom import hint
from mtl_tutorial.classroom.progress import progress
from mtl_tutorial.classroom.source import source_with_helpers


def inner(x):
    return x if x < 1 else inner(x - 1)


def middle(x):
    return inner(x)


def outer(x):
    """Outer."""
    return [middle(math.floor(y)) for y in x], inner(x)


class Middle:
    def forward(self, x):
        return inner(x).outer               # an attribute, not the function of that name


START = "from mtl_tutorial.classroom import hint, solution\n"


def test_hints_come_one_by_one_and_are_remembered(shell, mix):
    first, second, after = (shell.texts(START + "hint('01.mix_experts')")[0] for _ in range(3))
    assert first.splitlines() == ["01.mix_experts · hint 1 of 2", "  which axis holds the experts?"]
    assert second.startswith("01.mix_experts · hint 2 of 2")
    assert "that was the last hint" in after
    assert 'solution("01.mix_experts")' in after
    assert progress().hints_shown("01.mix_experts") == 2


def test_solution_is_the_references_source(shell, mix):
    [output] = shell.run(START + "solution('01.mix_experts')")
    assert output.data["text/plain"].startswith("def mix_experts(expert_outputs, gate_logits):")
    assert output.data["text/markdown"].startswith("~~~~python\ndef mix_experts")


def test_solution_shows_the_packages_helpers_and_theirs_once_each(mix):
    assert source_with_helpers(outer).split("\n\n\n") == [
        'def outer(x):\n    """Outer."""\n    return [middle(math.floor(y)) for y in x], inner(x)',
        "def inner(x):\n    return x if x < 1 else inner(x - 1)",
        "def middle(x):\n    return inner(x)",
    ]


def test_solution_of_a_class_shows_what_its_methods_call():
    assert source_with_helpers(Middle).startswith("class Middle:")
    assert source_with_helpers(Middle).endswith("def inner(x):\n    return x if x < 1 else inner(x - 1)")


def test_unknown_id_is_named(mix):
    with pytest.raises(KeyError, match=r"there is no exercise '01\.bogus'"):
        hint("01.bogus")
