"""Published figures to stand beside ours: median SDR (museval) in dB on MUSDB18's test songs in full length.

The thesis: *Audio query-based music source separation* (2020), §4.8 and §4.9. The others: SiSEC 2018, same table.
"""

from __future__ import annotations

DATA = "MUSDB18 test, full tracks"

MUSDB18: dict[str, tuple[float, float, float, float]] = {
    "thesis: random query (§4.9)": (4.69, 4.05, 2.98, 2.02),
    "thesis: ground-truth query (§4.9)": (5.48, 4.59, 3.45, 3.26),
    "thesis: mean, single step (§4.8)": (4.84, 4.31, 3.11, 2.97),
    'thesis: mean, iterative (§4.8, "mean" in §4.9)': (4.90, 4.34, 3.09, 3.16),
    "SiSEC: STL2": (3.25, 4.22, 3.21, 2.25),
    "SiSEC: JY3": (5.74, 4.66, 3.67, 3.40),
    "SiSEC: UHL2": (5.93, 5.92, 5.03, 4.19),
    "SiSEC: TAK1": (6.60, 6.43, 5.16, 4.15),
}
"""Vocals, drums, bass, other."""

FINE_DATA = "Slakh2100, thesis §4.7"
FINE: dict[str, float] = {
    "Bass": 0.06,
    "Piano": 0.04,
    "Guitar": 0.45,
    "Strings": 0.72,
    "Synth Pad": 0.11,
    "Pipe": 0.01,
    "Brass": 0.61,
}
"""Median ΔSDR in dB of the fine class's mean latent over the coarse one's."""
