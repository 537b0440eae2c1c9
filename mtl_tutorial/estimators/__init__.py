"""Estimators in scikit-learn's manner: ``fit``, ``predict``, ``score``, attributes with a trailing underscore."""
