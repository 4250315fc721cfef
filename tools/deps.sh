#!/bin/sh
# Debian's packages that building and testing need, found by what they provide.
# deps.sh           installs what is missing (as root, or by sudo)
# deps.sh --check   names what is missing, exit code 1; as root it installs it instead
set -eu

missing=""
command -v cc >/dev/null 2>&1 || missing="$missing build-essential"
command -v python3 >/dev/null 2>&1 || missing="$missing python3"
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing python3-venv"
command -v ip >/dev/null 2>&1 || missing="$missing iproute2"
python3 -c 'import ctypes; ctypes.CDLL("libpcap.so.0.8")' >/dev/null 2>&1 || missing="$missing libpcap0.8"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v tshark >/dev/null 2>&1 || missing="$missing tshark"

[ -n "$missing" ] || exit 0
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if [ "${1:-}" = "--check" ]; then
        echo "otic: Debian's packages are missing:$missing (make deps installs them)" >&2
        exit 1
    fi
    as_root=sudo
fi
command -v apt-get >/dev/null 2>&1 || {
    echo "otic: packages are missing and there is no apt-get; install by hand:$missing" >&2
    exit 1
}
echo "otic: installing$missing" >&2
$as_root apt-get update -qq
# shellcheck disable=SC2086 # the list is meant to be split
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing
