"""Melodies made by a model and steered by emotions. Nothing in the live engine depends on this room."""
