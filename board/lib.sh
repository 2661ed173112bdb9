# What the scripts of this folder share: words, places, and Debian packages without installing any.
# Read by them, not run. Before reading it they set `here` to this folder.
#
#   BOARD_DIR      where everything fetched and built is kept (default: target/board)
#   BOARD_MIRROR   a Debian mirror (default: the one that this machine's apt uses)

# The Debian release whose compilers and kernels are used, whatever this machine runs: the versions fit each other.
SUITE=bookworm

me=board/$(basename "$0")
say() { echo "$me: $*" >&2; }
# The comment at the head of a script.
usage() { sed -n '2,/^[^#]/{/^# shellcheck/d;s/^# \{0,1\}//p}' "$0"; }
# One line, with the remedy, and the end.
die() { say "$@"; exit 1; }
misused() { say "$@"; exit 2; }

# shellcheck disable=SC2154 # set by the script that reads this
repo=$(cd "$here/.." && pwd)
BOARD_DIR=${BOARD_DIR:-${CARGO_TARGET_DIR:-$repo/target}/board}
mkdir -p "$BOARD_DIR" || die "cannot make $BOARD_DIR; name another place in BOARD_DIR"
BOARD_DIR=$(cd "$BOARD_DIR" && pwd)
# Everything that runs on this machine (compilers, the emulator) is unpacked here.
tools=$BOARD_DIR/tools

# `want COMMAND:PACKAGE...`: dies at the first command that is missing.
want() {
    for pair; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || die "${pair%%:*} is missing; on Debian: apt-get install ${pair#*:}"
    done
}

# ------------------------------------------------------------------------------------------------ targets

TARGETS="armv7-unknown-linux-musleabihf aarch64-unknown-linux-musl armv7-unknown-linux-gnueabihf aarch64-unknown-linux-gnu"

# `target NAME`: the full name of a target given in full or short (`armv7`, `aarch64-gnu`); musl where it is not said.
target() {
    case $1 in
    armv7 | armv7-musl | armhf) echo armv7-unknown-linux-musleabihf ;;
    armv7-gnu) echo armv7-unknown-linux-gnueabihf ;;
    aarch64 | aarch64-musl | arm64) echo aarch64-unknown-linux-musl ;;
    aarch64-gnu) echo aarch64-unknown-linux-gnu ;;
    *)
        for known in $TARGETS; do [ "$1" != "$known" ] || { echo "$1"; return; }; done
        misused "there is no target \`$1\`; did you mean $(nearest "$1")? There are armv7 and aarch64 (-musl or -gnu)"
        ;;
    esac
}

# What rustc is told for a target. Every ARMv7 core has Thumb: the same program in two thirds of the bytes. (rustc warns
# that the name of the option may change; what it does will not.) Small flash and small caches: what is called from many
# places is inlined only if it is tiny, 14 kB less of 867 for 6 % more of our own instructions a request.
small() { case $1 in armv7-*) echo -Ctarget-feature=+thumb-mode -Cllvm-args=-inline-threshold=20 ;; esac; }

# The target with the fewest letters to change, for who mistyped one (Levenshtein).
nearest() {
    # shellcheck disable=SC2086 # one word a target
    printf '%s\n' $TARGETS armv7 armv7-gnu aarch64 aarch64-gnu | awk -v given="$1" '
        function distance(a, b,    i, j, cost, row, last, keep) {
            for (j = 0; j <= length(b); j++) row[j] = j
            for (i = 1; i <= length(a); i++) {
                last = row[0]; row[0] = i
                for (j = 1; j <= length(b); j++) {
                    cost = last + (substr(a, i, 1) != substr(b, j, 1))
                    keep = row[j]
                    if (row[j] + 1 < cost) cost = row[j] + 1
                    if (row[j - 1] + 1 < cost) cost = row[j - 1] + 1
                    last = keep; row[j] = cost
                }
            }
            return row[length(b)]
        }
        { d = distance(given, $0); if (NR == 1 || d < least) { least = d; best = $0 } }
        END { print best }'
}

# Debian's names for a target: its architecture, the triplet of its glibc tool chain, that of its musl.
debian_arch() { case $1 in armv7-*) echo armhf ;; *) echo arm64 ;; esac; }
debian_triplet() { case $1 in armv7-*) echo arm-linux-gnueabihf ;; *) echo aarch64-linux-gnu ;; esac; }
musl_triplet() { case $1 in armv7-*) echo arm-linux-musleabihf ;; *) echo aarch64-linux-musl ;; esac; }

# ----------------------------------------------------------------------------------------------- packages

# Debian's mirror as this machine's apt knows it.
mirror() {
    if [ -n "${BOARD_MIRROR:-}" ]; then echo "$BOARD_MIRROR"; return; fi
    # with lists fetched before, by who made them; without, the first one that is there
    for filter in 'Origin: Debian' 'Component: main'; do
        # shellcheck disable=SC2016 # apt's variables, not ours
        found=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "$filter" 2>/dev/null | grep -v security | head -n 1)
        [ -z "$found" ] || { echo "$found"; return; }
    done
    die "this machine's apt names no Debian mirror; name one in BOARD_MIRROR"
}

# An apt of our own: its own lists, nothing installed as far as it knows. How to reach the network (proxies, retries)
# is taken over from the machine's apt.
private_apt() {
    apt=$BOARD_DIR/apt
    if [ ! -e "$apt/ready" ]; then
        want apt-get:apt dpkg-deb:dpkg
        [ "$(dpkg --print-architecture)" = amd64 ] ||
            die "Debian's cross compilers are fetched for amd64 machines only; here use rustup (rustup target add ...) or cross"
        keys=/usr/share/keyrings/debian-archive-keyring.gpg
        [ -e $keys ] || die "Debian's keys are missing; apt-get install debian-archive-keyring"
        from=$(mirror) || exit
        rm -rf "$apt"
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/etc/preferences.d" "$apt/etc/trusted.gpg.d" "$apt/etc/apt.conf.d"
        : >"$apt/status"
        echo "deb [arch=amd64,armhf,arm64 signed-by=$keys] $from $SUITE main" >"$apt/etc/sources.list"
        {
            apt-config dump | grep -E '^Acquire::(https?|ftp|Retries|Check-)' || true
            cat <<END
Dir::Etc "$apt/etc";
Dir::Etc::main "-";
Dir::Etc::sourcelist "sources.list";
Dir::Etc::sourceparts "-";
Dir::State "$apt";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Log "$apt";
APT::Architecture "amd64";
APT::Architectures { "amd64"; "armhf"; "arm64"; };
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Acquire::Retries "3";
END
        } >"$apt/apt.conf"
        APT_CONFIG=$apt/apt.conf apt-get update -qq -o APT::Update::Error-Mode=any >"$apt/update.log" 2>&1 || {
            tail -n 3 "$apt/update.log" >&2
            die "no package lists from $from: is there a network? Another mirror is named in BOARD_MIRROR"
        }
        touch "$apt/ready"
    fi
    APT_CONFIG=$apt/apt.conf
    export APT_CONFIG
}

# `fetch NAME FOLDER PACKAGE...`: unpacks these packages into FOLDER, once for each NAME. Nothing is installed, and no
# script of a package runs.
fetch() {
    once=$BOARD_DIR/fetched/$1 folder=$2
    shift 2
    [ ! -e "$once" ] || return 0
    private_apt
    say "fetching $*"
    load=$BOARD_DIR/load.$$
    rm -rf "$load"
    mkdir -p "$load" "$folder" "$BOARD_DIR/fetched"
    (cd "$load" && apt-get download -qq "$@") >"$load/log" 2>&1 || {
        grep '^E:' "$load/log" | head -n 2 >&2
        rm -rf "$load"
        die "could not fetch $1 and what belongs to it: is there a network? If the packages have changed, remove $BOARD_DIR/apt and try again"
    }
    for package in "$load"/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x -C "$folder" --exclude=./usr/share/doc --exclude=./usr/share/man \
            --exclude=./usr/share/locale --exclude='*san.so*' --exclude='*san.a' ||
            die "cannot unpack $(basename "$package") into $folder; is the disk full?"
    done
    rm -rf "$load"
    touch "$once"
}

# `launcher FILE COMMAND...`: a program that runs COMMAND with the libraries unpacked beside it.
launcher() {
    file=$1
    shift
    mkdir -p "$(dirname "$file")"
    cat >"$file" <<END
#!/bin/sh
PATH="$tools/usr/bin:\$PATH" LD_LIBRARY_PATH="$tools/usr/lib/x86_64-linux-gnu:$tools/lib/x86_64-linux-gnu" exec $* "\$@"
END
    chmod +x "$file"
}
