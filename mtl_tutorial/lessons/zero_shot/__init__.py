"""Lesson 06, zero-shot learning: exercises, quiz and interview questions."""
