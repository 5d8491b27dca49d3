#!/bin/sh
# Fetch a real VST3 plugin (Dragonfly reverb, GPL-3) for the plugin tests, without touching the system:
# a private apt configuration that knows Debian 13 alone, then `dpkg -x`. Prints the folder of the bundles.
#
# usage: fetch_vst3.sh [DEST]      DEST defaults to .cache/vst3 in the repository root
set -eu

package=dragonfly-reverb-vst3
suite=trixie
# The mirror that this machine uses itself, which may be a private one.
mirror=${QSEP_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(URI)' 2>/dev/null | sed -n 's#^\(.*/debian\)/dists/.*#\1#p' | head -n 1)}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
dest=${1:-$here/../../.cache/vst3}

mkdir -p "$dest"
dest=$(CDPATH='' cd -- "$dest" && pwd)
bundles=$dest/usr/lib/vst3

if [ -d "$bundles/DragonflyHallReverb.vst3" ]; then
    echo "$bundles"
    exit 0
fi
for tool in apt-get dpkg; do
    command -v "$tool" >/dev/null || { echo "fetch_vst3: needs $tool (Debian or Ubuntu)" >&2; exit 3; }
done

[ -n "$mirror" ] || { echo "fetch_vst3: apt names no Debian mirror; set QSEP_DEBIAN_MIRROR to one" >&2; exit 3; }

# Debian's own keyring is on every Debian; elsewhere the package debian-archive-keyring brings it.
keyring=
for candidate in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-keyring.pgp; do
    if [ -f "$candidate" ]; then keyring=$candidate; break; fi
done
[ -n "$keyring" ] || { echo "fetch_vst3: needs the package debian-archive-keyring" >&2; exit 3; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/etc/none" "$work/download"
: >"$work/state/status"
echo "deb [signed-by=$keyring arch=$(dpkg --print-architecture)] $mirror $suite main" >"$work/etc/sources.list"
cat >"$work/apt.conf" <<CONF
Dir::State "$work/state";
Dir::State::status "$work/state/status";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "$work/etc/sources.list";
Dir::Etc::sourceparts "$work/etc/none";
Dir::Etc::preferencesparts "$work/etc/none";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "$(id -un)";
CONF
export APT_CONFIG="$work/apt.conf"
cd "$work/download"
apt-get -qq update >&2
apt-get -qq download "$package" >&2
for deb in "$package"_*.deb; do
    dpkg -x "$deb" "$work/unpacked"
done
# Move in place last, so that an interrupted run leaves nothing that looks complete.
mkdir -p "$dest/usr/lib"
rm -rf "$bundles"
mv "$work/unpacked/usr/lib/vst3" "$bundles"
echo "$bundles"
