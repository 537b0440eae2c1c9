"""Carrying what one domain taught to another: what to keep, how far to move, and how to align the two."""
