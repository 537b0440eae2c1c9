"""Every exercise of every lesson keeps the promises that ``check`` makes to a learner."""

import ast
import random
import re
from itertools import combinations

import nbformat
import numpy as np
import pytest
import torch

from mtl_tutorial.classroom import check
from mtl_tutorial.classroom.authoring import separation
from mtl_tutorial.classroom.diagnosis import diagnose
from mtl_tutorial.classroom.exercise import exercises_of
from mtl_tutorial.classroom.progress import progress
from mtl_tutorial.classroom.trial import run_cases
from mtl_tutorial.lessons import LESSONS, NOTEBOOKS

EXERCISES = [exercise for entry in LESSONS for exercise in exercises_of(entry.number).values()]
CLEAR = 100         # tolerances between any two of reference and known mistakes

each_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
each_mistake = pytest.mark.parametrize(
    ("exercise", "mistake"), [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes],
    ids=lambda part: getattr(part, "id", getattr(getattr(part, "function", None), "__name__", None)))


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("MTL_TUTORIAL_STATE", str(tmp_path))


def wrapped(exercise):
    """Return the reference as a learner's own function, drawing random numbers on the way."""
    def answer(*arguments):
        result = exercise.reference(*arguments)
        random.random(), np.random.rand(), torch.rand(3)
        return result
    return answer


def random_state():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def test_ids_are_of_their_lesson_and_unique():
    for entry in LESSONS:
        assert all(id.startswith(f"{entry.number}.") for id in exercises_of(entry.number))
    assert len({exercise.id for exercise in EXERCISES}) == len(EXERCISES)


@each_exercise
def test_exercise_is_completely_declared(exercise):
    assert len(exercise.mistakes) >= 3
    assert exercise.hints
    assert all(hint.strip() for hint in exercise.hints)
    assert 1 <= exercise.difficulty <= 5
    assert 1 <= exercise.importance <= 5
    assert exercise.minutes > 0
    diagnoses = {mistake.diagnosis for mistake in exercise.mistakes}
    assert len(diagnoses) == len(exercise.mistakes)
    assert exercise.reference.__module__.startswith("mtl_tutorial.")
    assert "exercises" not in exercise.reference.__module__, "the reference belongs to the package"


@each_exercise
def test_cases_are_the_same_each_time(exercise):
    assert exercise.cases()
    assert separation(exercise, exercise.reference, exercise.reference) == 0
    shapes = [[(t.output is None, t.mutated) for t in run_cases(exercise, exercise.reference, exercise.cases())]
              for _ in range(2)]
    assert shapes[0] == shapes[1]
    assert not any(output_is_none or mutated for output_is_none, mutated in shapes[0])


@each_exercise
def test_right_answer_is_accepted_and_random_state_kept(exercise):
    assert diagnose(exercise, exercise.reference) is None
    before, answer = random_state(), wrapped(exercise)
    assert check(exercise.id, answer) is answer
    assert progress().solved() == {exercise.id}
    assert random_state() == before


@each_exercise
def test_stub_is_not_attempted(exercise):
    def stub(*arguments):
        """Do what the lesson asks."""
        ...
    assert check(exercise.id, stub) is exercise.reference
    assert progress().attempts(exercise.id) == 0


@each_mistake
def test_mistake_gets_its_own_diagnosis(exercise, mistake):
    told = diagnose(exercise, mistake.function).lines
    assert told[0] == mistake.diagnosis
    assert len(told) == 1 or mistake.raises


@each_exercise
def test_reference_and_mistakes_stand_clear_of_each_other(exercise):
    functions = [exercise.reference, *(mistake.function for mistake in exercise.mistakes if not mistake.raises)]
    for one, other in combinations(functions, 2):
        assert separation(exercise, one, other) >= CLEAR, f"{one.__name__} and {other.__name__} are too alike"


def test_body_run_once_per_tower_is_named():
    [finding] = diagnose(exercises_of("01")["01.shared_bottom_forward"], lambda x, body, towers: {
        task: tower(body(x)).squeeze(-1) for task, tower in towers.items()}).lines
    assert "`body` was called 2 times where 1 would do" in finding


def checks_of(entry) -> list[tuple[str, str, bool]]:
    """Return, for each ``check`` of a notebook, exercise, function and whether its stub stands in the same cell."""
    found = []
    notebook = nbformat.read(NOTEBOOKS / entry.notebook, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type != "code" or "check(" not in cell.source:
            continue
        tree = ast.parse(cell.source)
        stubs = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and only_stub(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check":
                id, function = node.args
                found.append((id.value, function.id, function.id in stubs))
    return found


def only_stub(node: ast.FunctionDef) -> bool:
    return ast.get_docstring(node) is not None and ast.unparse(node.body[1:]) == "..."


@pytest.mark.parametrize("entry", [entry for entry in LESSONS if entry.available], ids=lambda entry: entry.number)
def test_notebook_has_each_exercise_once_with_its_stub(entry):
    found = checks_of(entry)
    assert sorted(id for id, _, _ in found) == sorted(exercises_of(entry.number))
    assert all(stub_beside for _, _, stub_beside in found), found


@pytest.mark.parametrize("entry", [entry for entry in LESSONS if entry.available], ids=lambda entry: entry.number)
def test_heading_in_the_notebook_says_what_the_exercise_declares(entry):
    cells = nbformat.read(NOTEBOOKS / entry.notebook, as_version=4).cells
    for id, exercise in exercises_of(entry.number).items():
        place = next(i for i, cell in enumerate(cells)
                     if cell.cell_type == "code" and f'check("{id}"' in cell.source)
        effort = exercise.heading.partition(" · ")[2]
        assert f"*{effort}*" in cells[place - 1].source, f"{id}: the cell above its stub should say *{effort}*"


@pytest.mark.parametrize("entry", [entry for entry in LESSONS if entry.available], ids=lambda entry: entry.number)
def test_what_check_returns_is_used_in_a_later_cell(entry):
    sources = [cell.source for cell in nbformat.read(NOTEBOOKS / entry.notebook, as_version=4).cells
               if cell.cell_type == "code"]
    for id, name, _ in checks_of(entry):
        own = next(place for place, source in enumerate(sources) if f'check("{id}"' in source)
        used = re.compile(rf"(?<![\w.]){name}\b")
        assert any(used.search(source) for source in sources[own + 1:]), f"{id}: {name} is not used afterwards"
