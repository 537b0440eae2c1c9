"""Lesson 03, multi-scenario learning: exercises, quiz and interview questions."""
