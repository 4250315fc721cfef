#!/bin/sh
# Checks that the named toolchains are there and new enough; else one line says what to install.
# Usage: need.sh python|cargo|node|chromium ...
set -u

fail() {
    echo "otic: $*" >&2
    exit 1
}

# at_least WANTED FOUND: whether version FOUND is WANTED or newer.
at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

python() {
    tool=${PYTHON:-python3}
    command -v "$tool" >/dev/null 2>&1 ||
        fail "Python 3.11 or newer is missing: install it (Debian 12: make deps)"
    found=$("$tool" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
    at_least 3.11 "${found:-0}" ||
        fail "Python 3.11 or newer is needed, $tool is ${found:-broken}: install it, or name it (make PYTHON=python3.11 ...)"
    "$tool" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "Python's venv module is missing: install python3-venv (Debian 12: make deps)"
}

cargo() {
    command -v cargo >/dev/null 2>&1 ||
        fail "Rust 1.95 or newer (cargo) is missing: install it with rustup"
    found=$(command cargo --version 2>/dev/null | cut -d ' ' -f 2)
    at_least 1.95 "${found:-0}" ||
        fail "Rust 1.95 or newer is needed, cargo is ${found:-broken}: update it with rustup"
    command -v cc >/dev/null 2>&1 ||
        fail "a C compiler and linker (cc) is missing: install build-essential (Debian 12: make deps)"
}

node() {
    command -v node >/dev/null 2>&1 ||
        fail "Node.js 20.19 or newer is missing: install it with npm"
    found=$(command node --version 2>/dev/null | tr -d v)
    at_least 20.19 "${found:-0}" ||
        fail "Node.js 20.19 or newer is needed, node is ${found:-broken}: update it"
    command -v npm >/dev/null 2>&1 || fail "npm is missing: install it (it comes with Node.js)"
}

chromium() {
    command -v chromium >/dev/null 2>&1 ||
        fail "chromium is missing: install it (Debian 12: make deps)"
}

for tool in "$@"; do
    case "$tool" in
        python | cargo | node | chromium) "$tool" ;;
        *) fail "need.sh: unknown tool $tool" ;;
    esac
done
