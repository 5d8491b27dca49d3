"""Where the sound lies in an MP3: its first frame, its last, and whether the first one says how long it is.

Where no Xing, Info or VBRI tag stands in the first frame, libsndfile believes an estimate of the length and stops
there; and it looks for more frames in what is no sound. So the frames are followed here, header by header. The tables
are those of ISO 11172-3 and 13818-3.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBITS = {
    (3, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_CHAIN = 3
"""Frames in a row that no other data looks like."""
_TAGS = (b"Xing", b"Info", b"VBRI")


@dataclass(frozen=True)
class Layout:
    """Of an MP3, in bytes.

    Attributes
    ----------
    first, end
        Of the first frame, and after the last one.
    tagged
        The first frame holds a Xing, Info or VBRI tag.
    after
        Bytes behind the last frame that are no tag.
    parts
        First frames with such a tag: more than one is several files in a row.
    """

    first: int
    end: int
    tagged: bool
    after: int
    parts: int


def mpeg_layout(path: Path) -> Layout | None:
    """Follow the frames of ``path``; None where there are none in a row."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        first = _next_frame(data, _after_id3(data, 0))
        if first is None:
            return None
        tagged = _has_tag(data, first)
        parts, end, place = 1, first, first
        while True:
            size = _frame_size(data, place)
            if size and place + size <= len(data):
                if place != first and _has_tag(data, place):
                    parts += 1
                place = end = place + size
                continue
            behind = _after_id3(data, place)
            found = _next_frame(data, behind)
            if found is None:
                break
            place = found
        return Layout(first, end, tagged, _unknown(data, end), parts)


def _after_id3(data: mmap.mmap, place: int) -> int:
    """The position after any ID3v2 tags at ``place``."""
    while data[place : place + 3] == b"ID3" and place + 10 <= len(data):
        size = 0
        for byte in data[place + 6 : place + 10]:
            size = size << 7 | byte & 0x7F
        place += 10 + size + (10 if data[place + 5] & 0x10 else 0)
    return place


def _next_frame(data: mmap.mmap, place: int) -> int | None:
    """The first position from ``place`` on where several frames follow each other, or the last ones of the file."""
    while 0 <= (place := data.find(b"\xff", place)) < len(data) - 4:
        where = place
        for count in range(_CHAIN):
            size = _frame_size(data, where)
            if not size:
                break
            where += size
            if where >= len(data) and count:
                return place
        else:
            return place
        place += 1
    return None


def _frame_size(data: mmap.mmap, place: int) -> int:
    """Bytes of the frame whose header is at ``place``; 0 where there is none."""
    head = data[place : place + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    index, rate_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or index in (0, 15) or rate_index == 3:
        return 0
    rate = _RATES[version][rate_index]
    table = (3, layer) if version == 3 else (2, 1 if layer == 1 else 2)
    bits = 1000 * _KBITS[table][index]
    if layer == 1:
        return (12 * bits // rate + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits // rate + padding


def _has_tag(data: mmap.mmap, place: int) -> bool:
    """Whether the frame at ``place`` holds a tag where one stands: behind the side information, or 32 bytes in."""
    head = data[place : place + 4]
    version, mono, crc = head[1] >> 3 & 3, head[3] >> 6 == 3, not head[1] & 1
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    offsets = (4 + side, 4 + side + 2 * crc, 36)
    return any(data[place + offset : place + offset + 4] in _TAGS for offset in offsets)


def _unknown(data: mmap.mmap, end: int) -> int:
    """Bytes behind the last frame that are neither a tag nor what is left of a frame."""
    rest = len(data) - end
    if data[end : end + 3] == b"TAG" or data[end : end + 8] == b"APETAGEX" or (rest < 1500 and _frame_size(data, end)):
        return 0
    return 0 if rest <= 128 else rest
