"""Turning pictures into features."""
