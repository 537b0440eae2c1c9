"""Architectures, one per file. Each maps ``Inputs`` to a dict of task name -> output."""
