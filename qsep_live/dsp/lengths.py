"""Lengths whose FFT is fast."""

from __future__ import annotations


def fast_length(least: int, step: int = 2) -> int:
    """The smallest of ``least``, ``least + step``, … without a prime factor over 7."""
    length = least
    while not _is_smooth(length):
        length += step
    return length


def _is_smooth(number: int) -> bool:
    for prime in (2, 3, 5, 7):
        while number % prime == 0:
            number //= prime
    return number == 1
