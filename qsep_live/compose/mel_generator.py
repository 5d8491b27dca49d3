"""Frames of a mel-spectrogram, one after the other, that go on from a clip.

Threading: the thread that owns the generator.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from qsep_live.compose.mel import BANDS, FLOOR, PIECE, Array, Mel
from qsep_live.compose.mel_net import MelNet
from qsep_live.compose.mel_scores import NARROWEST, ClipBands, bands_of


class MelGenerator:
    """Draws each frame from what the network says may follow all frames before it.

    Parameters
    ----------
    net
        In inference mode.
    clip
        What the music goes on from: its last 2048 frames are heard, its bands' means and deviations kept, and no band
        gets louder than it is somewhere in the clip. None for the average of the clips that the network has learned
        from.
    temperature
        Noise is so many times what the network says; 0 gives the likeliest component's mean each time.
    seed
        Equal seeds give equal frames.

    Attributes
    ----------
    bands
        Means and deviations that the frames are made for.
    loudest
        Power that 0 dB stands for, as in `Mel`.
    """

    def __init__(self, net: MelNet, clip: Mel | None = None, temperature: float = 1.0, seed: int = 0) -> None:
        self._net, self._temperature = net, temperature
        self._random = torch.Generator().manual_seed(seed)
        self._highest = np.zeros(BANDS, np.float32)
        if clip is None:
            self.bands = ClipBands(net.clip_mean.numpy(), np.maximum(net.clip_deviation.numpy(), np.float32(NARROWEST)))
            self.loudest = float(10.0 ** (float(net.clip_loudest) / 10.0))
            heard = self.bands.mean[None]
        else:
            self.bands, self.loudest = bands_of(clip.db), clip.loudest
            # Loud bands have a ceiling in music and none in what is drawn, and the few that are above it are what is
            # heard.
            self._highest = np.minimum(clip.db.max(axis=0), np.float32(0.0))
            heard = clip.db[-PIECE:]
        self._state = net.start(1)
        self._hear(heard)

    def frame(self) -> Array:
        """The next frame, (BANDS,) float32 in dB from FLOOR to the clip's highest, at most 0."""
        with torch.inference_mode():
            drawn = self._net.sample(self._last, self._mixture, self._temperature, self._random)
        mean, deviation = self.bands
        db: Array = np.clip(mean + deviation * drawn.numpy()[0, 0], FLOOR, self._highest)
        self._hear(db[None])
        return db

    def frames(self, count: int) -> Iterator[Array]:
        """The next ``count`` frames."""
        for _ in range(count):
            yield self.frame()

    def _hear(self, db: Array) -> None:
        mean, deviation = self.bands
        frames = torch.from_numpy(((db - mean) / deviation)[None])
        with torch.inference_mode():
            mixture, self._state = self._net(frames, self._state)
        self._last = frames[:, -1:]
        self._mixture = type(mixture)(*(part[:, -1:] for part in mixture))
