#!/usr/bin/env bash
# ffmpeg 5.1.9: `-c copy` of a stem file gives a stem file that no stem player knows.
#
# Guess: copying without coding keeps what an MP4 holds: the five streams and the "stem" entry that names them.
# Seen:  all streams are copied bit by bit, and the entry (moov/udta/stem, its JSON names, colours and mastering) is gone,
#        without a word. mutagen, which edits tags in place, keeps it.
# So:    a stem file that went through ffmpeg (a cover, a tag, `-movflags faststart`) opens as a plain song in a DJ program.
#        Write tags with mutagen, or put the entry back.
#
# Needs ffmpeg and python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mutagen==1.48.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import pathlib
import struct
import subprocess
import sys

import mutagen.mp4

folder = pathlib.Path(sys.argv[1])
print(subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout.splitlines()[0])


def ffmpeg(*options):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *options], stdin=subprocess.DEVNULL, check=True)


def sums(path):
    command = ["ffmpeg", "-v", "error", "-i", path, "-map", "0", "-c", "copy", "-f", "streamhash", "-"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout.splitlines()


def boxes(data, start, end):
    while start < end:
        size, kind = struct.unpack_from(">I4s", data, start)
        yield start, size, kind.decode("latin-1")
        start += size


def entry(path):
    """The stem entry of a file, or None."""
    data = path.read_bytes()
    moov = next((at, size) for at, size, kind in boxes(data, 0, len(data)) if kind == "moov")
    for at, size, kind in boxes(data, moov[0] + 8, sum(moov)):
        if kind == "udta":
            for inner, length, name in boxes(data, at + 8, at + size):
                if name == "stem":
                    return json.loads(data[inner + 8 : inner + length])
    return None


plain, stems, copied = folder / "plain.mp4", folder / "song.stem.mp4", folder / "copied.stem.mp4"
sources = [part for k in range(5) for part in ("-f", "lavfi", "-i", f"sine={220 * (k + 1)}:d=2")]
ffmpeg(*sources, *[part for k in range(5) for part in ("-map", str(k))], "-c:a", "aac", str(plain))
# moov is the file's last box and udta the last in it, so the entry goes to the end and both grow.
data = bytearray(plain.read_bytes())
moov = next((at, size) for at, size, kind in boxes(data, 0, len(data)) if kind == "moov")
udta = next((at, size) for at, size, kind in boxes(data, moov[0] + 8, sum(moov)) if kind == "udta")
assert sum(moov) == sum(udta) == len(data)
names = [{"name": name, "color": "#00FF00"} for name in ("Drums", "Bass", "Other", "Vocals")]
text = json.dumps({"version": 1, "stems": names}).encode()
stem = struct.pack(">I4s", 8 + len(text), b"stem") + text
for at, size in (moov, udta):
    struct.pack_into(">I", data, at, size + len(stem))
stems.write_bytes(data + stem)

ffmpeg("-i", str(stems), "-map", "0", "-c", "copy", "-map_metadata", "0", str(copied))
before, after, same = entry(stems), entry(copied), sums(stems) == sums(copied)
print("entry of the stem file:", [part["name"] for part in before["stems"]])
print("entry after -c copy:", after, " streams the same:", same)
tagged = mutagen.mp4.MP4(stems)
tagged["\xa9nam"] = "A song"
tagged.save()
print("entry after mutagen wrote a title:", [part["name"] for part in entry(stems)["stems"]])
assert same and len(sums(copied)) == 5 and after is None and entry(stems) == before, "the behaviour has changed"
PYTHON
