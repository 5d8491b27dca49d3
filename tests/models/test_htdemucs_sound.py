from __future__ import annotations

import numpy as np
import pytest
import torch
from demucs.htdemucs import HTDemucs

from qsep_live.models.adapters import htdemucs_sound
from tests.models.conftest import music

SMALL = HTDemucs(["a", "b"], channels=8, t_layers=1)


@pytest.mark.parametrize("samples", [66_560, 70_001, 2 * 1024])
def test_spectrum_is_that_of_demucs(samples: int) -> None:
    window = music(samples)
    wanted = SMALL._spec(torch.from_numpy(window)[None])[0].numpy()
    given = htdemucs_sound.stft(window)
    assert given.shape == wanted.shape
    np.testing.assert_allclose(given, wanted, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("samples", [66_560, 70_001])
def test_inverse_is_that_of_demucs(samples: int) -> None:
    random = np.random.default_rng(2).standard_normal((3, 2, 2048, htdemucs_sound.frames_of(samples), 2))
    spectra = random.astype(np.float32).view(np.complex64)[..., 0]
    wanted = SMALL._ispec(torch.from_numpy(spectra), samples).numpy()
    given = htdemucs_sound.istft(spectra, samples)
    assert given.shape == wanted.shape == (3, 2, samples)
    np.testing.assert_allclose(given, wanted, atol=1e-6 * np.abs(wanted).max())


def test_channels_are_packed_as_demucs_packs_them() -> None:
    spectrum = htdemucs_sound.stft(music(20_000))
    given = htdemucs_sound.as_channels(spectrum)
    np.testing.assert_array_equal(given, SMALL._magnitude(torch.from_numpy(spectrum)[None])[0].numpy())
    np.testing.assert_array_equal(htdemucs_sound.as_complex(given), spectrum)


def test_what_is_normalised_comes_back() -> None:
    window = music(20_000)
    spectrum, sound, scale = htdemucs_sound.network_inputs(window)
    assert abs(float(spectrum.std()) - 1) < 1e-3
    assert abs(float(sound.std()) - 1) < 1e-3
    # A network that gives its inputs back: half of the sound by each way.
    stems = htdemucs_sound.stems_from(spectrum[:, None].copy(), sound[:, None].copy(), scale)
    # At its ends demucs leaves out the frames that reach over them.
    inside = slice(1024 * 2, -1024 * 2)
    np.testing.assert_allclose(stems[0][:, inside] / 2, window[:, inside], atol=1e-4)
