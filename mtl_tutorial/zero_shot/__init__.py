"""Deciding about what training never showed: classes, items and intents known by their description alone."""
