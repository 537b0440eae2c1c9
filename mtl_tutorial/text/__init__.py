"""Texts as vectors: the pretrained sentence encoder."""
