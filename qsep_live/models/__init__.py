"""Separators: what one is, which there are, and the files they live in."""
