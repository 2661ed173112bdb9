#!/bin/sh
# Holds the floors of src/lib.rs by the compiler: each module becomes a crate for the moment of a check, below
# target/floors, and gets only what its line here names. So an import upwards, a circle between modules, a library in the
# wrong place or, in a pure module, a file or a clock is a compile error. The package stays one package.
#
#   scripts/floors.sh          checks all of it (seconds)
set -eu
cd "$(dirname "$0")/.."
root=$PWD
at=$root/target/floors

# module: the modules that it may use, then the libraries. What stands above a line knows nothing of it.
floors() {
    sed 's/ *#.*//; /^$/d' <<'END'
fnv:
memory:
shown:
secret:     memory
codec:
describe:   shown | serde_json
msg:        describe secret
json:       msg
diag:       msg | log
ask:        describe msg | serde_json
metrics:    msg
places:     msg
sys:        msg | libc socket2
config:     describe msg shown | base64 bcrypt log sha-crypt toml-span
auth:       config fnv msg secret
ledger:     config msg
liveness:   config msg
http:       codec fnv json secret | base64 httparse httpdate
hub:        ask config describe diag fnv msg shown | log
link:       codec describe json msg secret ask | base64 serde_json sha1 tungstenite
routes:     ask auth config diag fnv http hub json ledger link metrics msg secret shown | log percent-encoding
engine:     auth codec config diag http hub ledger link liveness metrics msg places routes secret shown | log
net:        auth config diag engine fnv http hub json msg routes shown sys | log miniz_oxide mio
cli:        config diag link msg net shown sys | lexopt log serde_json
END
}

rm -rf "$at/src" && mkdir -p "$at/src" && cp Cargo.lock "$at/"
floors | {
    members=
    while IFS=: read -r module needs; do
        here=$at/src/$module
        mkdir "$here"
        modules=${needs%%|*} libraries=
        case $needs in *"|"*) libraries=${needs#*|} ;; esac
        for file in "$root/src/$module" "$root/src/$module.rs"; do
            [ ! -e "$file" ] || ln -s "$file" "$here/"
        done
        {
            echo '#![allow(unexpected_cfgs)]'
            echo '#![deny(unused_crate_dependencies)]'
            case $module in sys | memory) ;; *) echo '#![forbid(unsafe_code)]' ;; esac
            case $module in
            sys | net | cli) echo '#![deny(clippy::disallowed_methods)]' ;;
            *)
                echo '#![forbid(clippy::disallowed_methods, clippy::disallowed_types)]'
                cp scripts/pure.clippy.toml "$here/clippy.toml"
                ;;
            esac
            for used in $modules; do echo "#[allow(unused_imports)] pub use floor_$used::$used;"; done
            echo "pub mod $module;"
        } >"$here/lib.rs"
        {
            echo "[package]"
            echo "name = \"floor_$module\""
            sed -n '/^version = /p; /^edition = /p; /^rust-version = /p' Cargo.toml
            # what is made of www/ when the package is built
            if grep -rq 'OUT_DIR' "$root/src/$module" 2>/dev/null; then
                ln -s "$root/www" "$here/www"
                echo "build = \"$root/build.rs\""
                echo '[build-dependencies]'
                sed -n '/^flate2 = /p' Cargo.toml
            fi
            printf '[lib]\npath = "lib.rs"\n'
            echo '[dependencies]'
            for used in $modules; do echo "floor_$used = { path = \"../$used\" }"; done
            for library in $libraries; do
                grep -m1 "^$library = " Cargo.toml || { echo "scripts/floors.sh: $module: Cargo.toml has no library $library" >&2; exit 1; }
            done
        } >"$here/Cargo.toml"
        members="$members\"src/$module\", "
    done
    printf '[workspace]\nresolver = "3"\nmembers = [%s]\n' "$members" >"$at/Cargo.toml"
}

# every module of src/lib.rs has its line
sed -n 's/^pub mod \([a-z_]*\);.*/\1/p' src/lib.rs | while read -r module; do
    [ -d "$at/src/$module" ] || { echo "scripts/floors.sh: src/lib.rs has $module: give it a line" >&2; exit 1; }
done

cargo clippy --quiet --manifest-path "$at/Cargo.toml" --workspace --target-dir "$at/target" -- -A clippy::all
