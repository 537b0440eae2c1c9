"""Lesson 07, collaborative fusion: exercises, quiz and interview questions."""
