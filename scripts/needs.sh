# shellcheck shell=sh
# Makes sure that what a command needs is there. Read by ../run and ../test, not run by itself.
# Installs through apt where it may (as root, on Debian and its relatives), says what it installs, and otherwise says
# what is missing and how to get it.

RUST_MIN=1.85
RUST_REMEDY="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . \"\$HOME/.cargo/env\""

say() { echo "== $*"; }

# `packages COMMAND:PACKAGE...`: installs the package of every command that is missing.
packages() {
    missing=
    for pair; do command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"; done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing$missing"
        apt-get update -qq || say "apt-get update failed; trying with the lists that are here"
        # shellcheck disable=SC2086 # one word a package
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null && return 0
        echo "apt-get could not install$missing" >&2
    else
        echo "missing:$missing. As root, on Debian: apt-get install$missing" >&2
    fi
    return 1
}

# Whether version $1 is at least $2 (major.minor).
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -t . -k 1,1n -k 2,2n | head -n 1)" = "$2" ]; }

# A Rust new enough to build this.
rust() {
    [ -d "$HOME/.cargo/bin" ] && PATH="$HOME/.cargo/bin:$PATH"
    have=$(rustc --version 2>/dev/null | sed 's/^rustc \([0-9]*\.[0-9]*\).*/\1/')
    if [ -z "$have" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq || true
        offered=$(apt-cache policy rustc 2>/dev/null | sed -n 's/^ *Candidate: \([0-9]*\.[0-9]*\).*/\1/p')
        if [ -n "$offered" ] && at_least "$offered" "$RUST_MIN"; then
            packages "rustc:rustc" "cargo:cargo" "rustfmt:rustfmt" "cargo-clippy:rust-clippy" || true
        elif [ -n "$(apt-cache policy rustup 2>/dev/null | sed -n 's/^ *Candidate: \([0-9].*\)/\1/p')" ]; then
            packages "rustup:rustup" && say "installing Rust by rustup" && rustup default stable
        fi
        have=$(rustc --version 2>/dev/null | sed 's/^rustc \([0-9]*\.[0-9]*\).*/\1/')
    fi
    if [ -z "$have" ] || ! at_least "$have" "$RUST_MIN"; then
        echo "Rust $RUST_MIN or newer is needed, found ${have:-none}. To get it: $RUST_REMEDY" >&2
        return 1
    fi
    packages cc:gcc || return 1
}

# `component NAME COMMAND`: a part of the Rust tool chain that not every installation has.
component() {
    cargo "$2" --version >/dev/null 2>&1 && return 0
    command -v rustup >/dev/null && say "installing $1 by rustup" && rustup component add "$1" && return 0
    echo "missing: $1. To get it: rustup component add $1 (Debian: apt-get install $3)" >&2
    return 1
}
