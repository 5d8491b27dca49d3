"""The demo song without end, as raw float32 frames of two channels at 44.1 kHz: ``python -m``, into a pipe."""

from __future__ import annotations

import sys

from qsep_live.audio.demo import demo_song


def main() -> None:
    """Until nobody reads any more."""
    sound = demo_song().mixture.astype("<f4").tobytes()
    try:
        while True:
            sys.stdout.buffer.write(sound)
    except BrokenPipeError:
        # Python would flush what is left at exit, and complain.
        sys.stderr.close()


if __name__ == "__main__":
    main()
