"""The machinery of a lesson: ``from mtl_tutorial.classroom import setup, claim, at_least, check, ...``."""

from mtl_tutorial.classroom.card_view import cards
from mtl_tutorial.classroom.checking import check
from mtl_tutorial.classroom.claims import at_least, at_most, between, claim, gains, loses
from mtl_tutorial.classroom.environment import environment_check
from mtl_tutorial.classroom.exercise import Exercise, Mistake
from mtl_tutorial.classroom.explorer import explore
from mtl_tutorial.classroom.hints import hint, solution
from mtl_tutorial.classroom.progress_view import progress_table
from mtl_tutorial.classroom.quiz_view import quiz
from mtl_tutorial.classroom.session import setup
from mtl_tutorial.plots import finding, interval_plot

__all__ = [
    "Exercise", "Mistake", "at_least", "at_most", "between", "cards", "check", "claim", "environment_check",
    "explore", "finding", "gains", "hint", "interval_plot", "loses", "progress_table", "quiz", "setup", "solution",
]
