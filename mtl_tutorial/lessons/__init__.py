"""The lessons: their numbers, titles and folders, in the order in which they are taught.

Standard library only: the command line lists lessons before the environment exists.
"""

from dataclasses import dataclass
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@dataclass(frozen=True)
class Lesson:
    """One lesson: ``number`` ("01"), ``title``, the ``folder`` of its content below ``lessons/``."""

    number: str
    title: str
    folder: str
    minutes: int                # to work through, exercises included

    @property
    def notebook(self) -> str:
        """File name of the notebook, e.g. ``01_multi_task_learning.ipynb``."""
        words = self.title.lower().replace(",", "").replace("-", " ").split()
        return "_".join([self.number, *words]) + ".ipynb"

    @property
    def available(self) -> bool:
        """Whether the lesson has been written: its notebook is in the repository."""
        return (NOTEBOOKS / self.notebook).exists()

    @property
    def content(self) -> Path:
        """Folder that holds exercises.py, quiz.yaml and interview.yaml."""
        return Path(__file__).parent / self.folder


LESSONS = (
    Lesson("00", "Start here", "start", 5),
    Lesson("01", "Multi-task learning", "multi_task", 120),
    Lesson("02", "Task interference", "interference", 120),
    Lesson("03", "Multi-scenario learning", "multi_scenario", 120),
    Lesson("04", "Transfer learning", "transfer", 120),
    Lesson("05", "Meta-learning", "meta", 120),
    Lesson("06", "Zero-shot learning", "zero_shot", 150),
    Lesson("07", "Collaborative fusion", "fusion", 150),
    Lesson("08", "Large models", "large_models", 90),
    Lesson("09", "Multimodal products", "multimodal", 90),
    Lesson("10", "Fraud, risk and pricing", "fraud_and_pricing", 90),
    Lesson("11", "System design", "system_design", 90),
)


def lesson(number: str) -> Lesson:
    """Return the lesson with this number.

    Raises:
        KeyError: no lesson has this number; the message lists those that exist.
    """
    for entry in LESSONS:
        if entry.number == number:
            return entry
    raise KeyError(f"there is no lesson {number!r}; lessons are {', '.join(e.number for e in LESSONS)}")
