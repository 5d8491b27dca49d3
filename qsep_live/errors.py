"""The errors that a person is meant to read: one line, what is wrong, where, what would be right."""

from __future__ import annotations


class QsepError(Exception):
    """Something failed while running. The command line prints the message and exits with 1."""


class UsageError(QsepError):
    """What the user asked for cannot be meant. The command line prints the message and exits with 2."""
