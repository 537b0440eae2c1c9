"""Lesson 02: task interference and balancing."""
