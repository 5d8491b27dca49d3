"""WAV headers: an RF64 file that stayed under 4 GiB becomes the plain WAV that every program reads.

libsndfile writes RF64 (64-bit sizes) or WAV (which silently wraps at 4 GiB), and must be told which before
the length is known. So WAV files are written as RF64 and settled here when they are complete. As a bonus the
header holds no time of writing (libsndfile's PEAK chunk does), so equal sound gives equal bytes.
"""

from __future__ import annotations

import struct
from io import RawIOBase

#: Length of the header libsndfile writes: RF64 (12), ds64 (36), fmt (48), data (8).
HEADER = 104
_LAYOUT = struct.Struct("<4sI4s 4sIQQQI 4sI HHIIHHHHIH14s 4sI")
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_FOUR_GIB = 1 << 32


def settle(file: RawIOBase) -> int:
    """Turn a closed RF64 file into a plain WAV where its size allows.

    A file that ends in the middle of a frame (the disk was full) is cut to whole frames.

    Parameters
    ----------
    file : RawIOBase
        The complete file, open for reading and writing.

    Returns
    -------
    int
        Frames in the file.

    Raises
    ------
    ValueError
        The header is not the one libsndfile writes for RF64.
    """
    file.seek(0)
    raw = file.read(HEADER)
    if len(raw) < HEADER:
        raise ValueError("no complete RF64 header")
    (riff, _, wave, ds64, ds64_size, _, _, _, _, fmt, fmt_size, tag, channels, rate, byte_rate, align, bits,
     _, _, _, codec, _, data, _) = _LAYOUT.unpack(raw)  # fmt: skip
    if (riff, wave, ds64, ds64_size, fmt, fmt_size, tag, data) != (
        *(b"RF64", b"WAVE", b"ds64", 28, b"fmt ", 40, _EXTENSIBLE, b"data"),
    ):
        raise ValueError("not the RF64 header that was expected")
    end = file.seek(0, 2)
    stored = _stored_bytes(raw, end)
    size = stored - stored % align
    if size % 2 and end < HEADER + size + 1:
        size = _pad(file, size, align)
    if end > HEADER + size + size % 2:
        file.truncate(HEADER + size + size % 2)
    total = HEADER + size + size % 2 - 8
    if total >= _FOUR_GIB:
        head = b"RF64" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE"
        head += b"ds64" + struct.pack("<IQQQI", 28, total, size, size // align, 0)
        file.seek(0)
        file.write(head)
        return int(size // align)
    head = b"RIFF" + struct.pack("<I", total) + b"WAVE" + b"JUNK" + struct.pack("<I28x", 28)
    if channels > 2:
        head += raw[48:96]
    elif codec == _FLOAT:
        head += b"fmt " + struct.pack("<IHHIIHHH", 18, _FLOAT, channels, rate, byte_rate, align, bits, 0)
        head += b"fact" + struct.pack("<II", 4, size // align) + b"JUNK" + struct.pack("<I2x", 2)
    else:
        head += b"fmt " + struct.pack("<IHHIIHH", 16, _PCM, channels, rate, byte_rate, align, bits)
        head += b"JUNK" + struct.pack("<I16x", 16)
    head += b"data" + struct.pack("<I", size)
    file.seek(0)
    file.write(head)
    return int(size // align)


def _stored_bytes(raw: bytes, end: int) -> int:
    """Bytes of sound: what ds64 says, at most what lies in the file; all of that where it says nothing."""
    (said,) = struct.unpack_from("<Q", raw, 28)
    held = end - HEADER
    return int(min(said, held)) if said else held


def _pad(file: RawIOBase, size: int, align: int) -> int:
    """Append the pad byte an odd chunk needs, or drop one frame where there is no room for it."""
    file.seek(0, 2)
    try:
        written = file.write(b"\0")
    except OSError:
        written = 0
    return size if written else size - align
