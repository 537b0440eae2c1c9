"""Lesson 04, transfer learning: exercises, quiz and interview questions."""
