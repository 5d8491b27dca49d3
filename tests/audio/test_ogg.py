from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from qsep_live.audio.files import open_audio, read_audio
from qsep_live.audio.writer import write_audio
from qsep_live.errors import QsepError


@pytest.mark.parametrize("suffix", ["ogg", "opus"])
def test_two_recordings_in_a_row_are_refused_with_the_command_that_mends_it(tmp_path: Path, suffix: str) -> None:
    sound = np.random.default_rng(1).uniform(-0.3, 0.3, (96000, 2)).astype(np.float32)
    one = write_audio(tmp_path / f"one.{suffix}", sound, 48000)
    assert open_audio(one).frames == 96000
    two = tmp_path / f"two of them.{suffix}"
    two.write_bytes(one.read_bytes() * 2)
    with pytest.raises(QsepError, match="2 recordings") as caught:
        open_audio(two)
    command = shlex.split(str(caught.value).rsplit("one of them: ", 1)[1])
    subprocess.run([*command, "-nostdin", "-v", "error"], check=True)
    assert open_audio(tmp_path / "two of them.flac").seconds == pytest.approx(4.0, abs=0.1)


TONES = [300, 500, 700, 60, 1100, 1300, 1500, 1700]
#: What ffmpeg calls the speakers of a WAV with so many channels, in its order.
LAYOUTS = {3: "FL+FR+FC", 4: "FL+FR+BL+BR", 5: "FL+FR+FC+BL+BR", 6: "5.1", 7: "6.1", 8: "7.1"}


@pytest.mark.parametrize("suffix", ["ogg", "opus"])
@pytest.mark.parametrize("channels", [3, 4, 5, 6, 7, 8])
def test_speakers_are_the_same_for_another_program(tmp_path: Path, suffix: str, channels: int) -> None:
    """ffmpeg decodes each to the order of WAV, by the speakers that the format says."""
    at = np.arange(48000)[:, None] / 48000
    tones = TONES[:channels]
    sound = (0.1 * np.sin(2 * np.pi * at * np.array(tones))).astype(np.float32)
    path = write_audio(tmp_path / f"many.{suffix}", sound, 48000)
    layout = ["-af", f"aformat=channel_layouts={LAYOUTS[channels]}"]
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", path, *layout, tmp_path / "many.wav"], check=True)
    for each in (path, tmp_path / "many.wav"):
        spectrum = np.abs(np.fft.rfft(read_audio(each)[0][:48000], axis=0))
        assert spectrum.argmax(0) == pytest.approx(tones, abs=3), each
