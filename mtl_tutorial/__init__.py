"""Multi-scenario, multi-task joint learning for e-commerce.

The package is the answer key of the lessons in ``notebooks/``. Importing it loads nothing: take what you
need from its modules, e.g. ``from mtl_tutorial.models.mmoe import MMoE``.
"""

__version__ = "0.1.0"
