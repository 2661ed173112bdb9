# A Rust tool chain for ARM out of Debian's packages. Read by ./build, not run. Needs lib.sh.

# The Rust compiler of lib.sh's release that still has libraries for ARM, and the C compiler.
RUST_PACKAGES="rustc-web:amd64 libstd-rust-web-1.85:amd64 libstd-rust-web-dev:amd64 libllvm19:amd64"
GCC=12

# `toolchain TARGET`: fetches what the target needs.
toolchain() {
    arch=$(debian_arch "$1") triplet=$(debian_triplet "$1")
    # shellcheck disable=SC2086,SC2154 # one word a package; tools is set by lib.sh
    fetch rustc "$tools" $RUST_PACKAGES
    launcher "$BOARD_DIR/bin/rustc" "$tools/usr/bin/rustc"
    fetch "gcc-$arch" "$tools" "gcc-$GCC-$triplet:amd64" "cpp-$GCC-$triplet:amd64" "binutils-$triplet:amd64" \
        libbinutils:amd64 binutils-common:amd64 libisl23:amd64 libmpc3:amd64 libmpfr6:amd64 libjansson4:amd64 \
        "libgcc-$GCC-dev-$arch-cross" "libgcc-s1-$arch-cross" "libc6-dev-$arch-cross" "libc6-$arch-cross" "linux-libc-dev-$arch-cross"
    launcher "$BOARD_DIR/bin/$triplet-gcc" "$tools/usr/bin/$triplet-gcc-$GCC" "--sysroot=$tools"
    case $1 in
    *-gnu*) fetch "std-$arch" "$tools" "libstd-rust-web-dev:$arch" ;;
    *) musl "$1" ;;
    esac
}

# Debian has no std for musl: it is compiled from its source, against Debian's musl and with gcc's start files.
musl() {
    fetch rust-source "$tools" rust-web-src:amd64
    fetch "musl-$arch" "$tools" "musl-dev:$arch"
    # only library/ is of use of a gigabyte of sources
    for part in src compiler tests debian vendor; do rm -rf "$tools"/usr/src/rustc-*/$part; done
    name=$(musl_triplet "$1")
    libc=$tools/usr/lib/$name
    [ -e "$libc/libc.a" ] || die "Debian's musl is not where it used to be ($libc/libc.a)"
    mkdir -p "$BOARD_DIR/$name"
    # gcc takes its own libraries and begin and end files (crtbegin.o: with crtbeginT.o aarch64 programs crash at
    # start), everything else from musl, and never glibc's headers.
    cat >"$BOARD_DIR/$name/specs" <<END
%rename cpp_options glibc_cpp_options

*cpp_options:
-nostdinc -isystem $tools/usr/include/$name -isystem include%s %(glibc_cpp_options)

*cc1:
%(cc1_cpu) -nostdinc -isystem $tools/usr/include/$name -isystem include%s

*startfile:
$libc/crt1.o%s $libc/crti.o%s crtbegin.o%s

*endfile:
crtend.o%s $libc/crtn.o%s

*link:
-nostdlib -static

*link_libgcc:
-L$libc -L$BOARD_DIR/$name -L .%s

*libgcc:
libgcc.a%s libgcc_eh.a%s

END
    launcher "$BOARD_DIR/bin/$name-gcc" "$tools/usr/bin/$triplet-gcc-$GCC" "-specs=$BOARD_DIR/$name/specs"
    # Panics abort, so nothing is ever unwound; but std's build asks for an unwinder by this name. gcc's will do. It
    # was compiled for glibc 2.35 and looks, on aarch64, for one function that musl has not: nobody will call it.
    wanted=
    if [ "$arch" = arm64 ]; then
        echo 'int _dl_find_object(void *pc, void *found) { (void)pc; (void)found; return -1; }' >"$BOARD_DIR/$name/find.c"
        "$BOARD_DIR/bin/$name-gcc" -Os -c "$BOARD_DIR/$name/find.c" -o "$BOARD_DIR/$name/find.o" || die "the C compiler for $name does not work"
        wanted=$BOARD_DIR/$name/find.o
    fi
    echo "INPUT($wanted -lgcc_eh)" >"$BOARD_DIR/$name/libunwind.a"
}

# `with_toolchain TARGET COMMAND...`: runs it with cargo told to use that tool chain.
with_toolchain() {
    wanted=$1
    shift
    case $wanted in *musl*) linker=$(musl_triplet "$wanted") flags="-Clink-self-contained=no -Ctarget-feature=+crt-static" ;;
    *) linker=$(debian_triplet "$wanted") flags= ;; esac
    flags="$flags $(small "$wanted")"
    # The places where a panic is are named in the file: without those of this machine, and as long wherever it is built.
    # (One flag is separated from the next by the character 31, so that a path may have spaces.)
    encoded=$(
        printf '%s\037' "--remap-path-prefix=$repo=boatswain" "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=crates" \
            "--remap-path-prefix=$tools/usr/lib/rustlib/src/rust/library=std"
        for flag in $flags; do printf '%s\037' "$flag"; done
    )
    key=$(echo "$wanted" | tr a-z- A-Z_)
    # RUSTC_BOOTSTRAP: std can be built from source only by a compiler that takes unstable options.
    env -u RUSTFLAGS -u RUSTC_WRAPPER -u CARGO_BUILD_TARGET RUSTC="$BOARD_DIR/bin/rustc" RUSTC_BOOTSTRAP=1 \
        "CARGO_TARGET_${key}_LINKER=$BOARD_DIR/bin/$linker-gcc" "CARGO_ENCODED_RUSTFLAGS=${encoded%?}" "$@"
}
