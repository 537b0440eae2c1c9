"""Lesson 05, meta-learning: exercises, quiz and interview questions."""
