"""``progress_table``: how far the learner has come, lesson by lesson."""

from mtl_tutorial.classroom.exercise import exercises_of
from mtl_tutorial.classroom.panel import show_table
from mtl_tutorial.classroom.progress import progress
from mtl_tutorial.classroom.questions import questions_of
from mtl_tutorial.lessons import LESSONS, Lesson


def progress_table() -> None:
    """Show the exercises solved and the quiz questions answered rightly in each lesson.

    Its output is the learner's own: never a checked one.
    """
    solved, answered = progress().solved(), progress().answered()
    rows = [_row(entry, solved, answered) for entry in LESSONS]
    show_table("Your progress", ("lesson", "title", "exercises", "quiz"), rows)


def _row(entry: Lesson, solved: set[str], answered: set[str]) -> tuple[str, ...]:
    if not entry.available:
        return entry.number, entry.title, "to come", ""
    exercises = set(exercises_of(entry.number))
    questions = {f"{entry.number}.{question.id}" for question in questions_of(entry.number)}
    return entry.number, entry.title, _share(exercises, solved), _share(questions, answered)


def _share(all_ids: set[str], done: set[str]) -> str:
    return f"{len(all_ids & done)} of {len(all_ids)}" if all_ids else "–"
