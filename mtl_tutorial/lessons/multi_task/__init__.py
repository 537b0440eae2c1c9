"""Lesson 01, multi-task learning: exercises, quiz and interview questions."""
