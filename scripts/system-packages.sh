#!/bin/sh
# Installs what the program and its tests need from the system: PortAudio; with --tests also a JACK server, ffmpeg,
# FluidSynth, a SoundFont, and npm, which brings HTDemucs's weights.
# Does nothing for what is there already; where it may not install, it says what is missing and goes on.
set -u

missing=""
need() { # need PACKAGE COMMAND...: PACKAGE is missing unless COMMAND succeeds
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
library() { ldconfig -p 2>/dev/null | grep -q "$1" || /sbin/ldconfig -p 2>/dev/null | grep -q "$1"; }

need libportaudio2 library libportaudio.so.2
if [ "${1:-}" = "--tests" ]; then
    need jackd2 command -v jackd
    need ffmpeg command -v ffmpeg
    need libfluidsynth3 library libfluidsynth.so.3
    need timgm6mb-soundfont test -e /usr/share/sounds/sf2/TimGM6mb.sf2
    need npm command -v npm
fi
[ -z "$missing" ] && exit 0

as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo -n"
if ! command -v apt-get >/dev/null 2>&1 || ! $as_root true 2>/dev/null; then
    echo "missing and not installable from here:$missing (on Debian: sudo apt-get install$missing)" >&2
    exit 0
fi
echo "installing$missing"
echo "jackd2 jackd/tweak_rt_limits boolean false" | $as_root debconf-set-selections 2>/dev/null
$as_root apt-get update -q >/dev/null
# shellcheck disable=SC2086 - the list is meant to be split
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q --no-install-recommends $missing >/dev/null
