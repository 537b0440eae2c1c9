"""Learning to learn: what many small tasks have in common, so that a new one needs few rows."""
