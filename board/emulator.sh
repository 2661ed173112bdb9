# Debian's own ARM kernels in an emulator. Read by ./boot and ./try-package, not run. Needs lib.sh.

# Of 80 MB of drivers a guest needs these, in this order: its network, its disk, the file system on it, its console.
DRIVERS="virtio virtio_ring virtio_mmio failover net_failover virtio_net virtio_blk crc16 crc32c_generic libcrc32c mbcache jbd2 ext4 virtio_console"

# `emulator ARCH`: fetches emulator, kernel and BusyBox for armhf or arm64, and names what it fetched: $emulator, $cpu,
# $image (the kernel), $drivers and $busybox.
emulator() {
    arch=$1
    case $arch in
    armhf) emulator=qemu-system-arm cpu=cortex-a15 kernel=linux-image-armmp ;;
    arm64) emulator=qemu-system-aarch64 cpu=cortex-a53 kernel=linux-image-cloud-arm64 ;;
    esac
    # shellcheck disable=SC2046,SC2154 # one word a package; tools is set by lib.sh
    fetch emulator "$tools" qemu-system-data cpio:amd64 $(printf '%s:amd64 ' qemu-system-arm qemu-system-common \
        libfdt1 libcapstone4 libpmem1 libndctl6 libdaxctl1 librdmacm1 libibverbs1 libnl-3-200 libnl-route-3-200 \
        libslirp0 libvdeplug2 libaio1 libbpf1 libfuse3-3 libnuma1 libpixman-1-0 libseccomp2 liburing2 libjpeg62-turbo \
        libglib2.0-0 libpng16-16 libsasl2-2)
    launcher "$BOARD_DIR/bin/cpio" "$tools/bin/cpio"
    fetch "busybox-$arch" "$BOARD_DIR/busybox-$arch" "busybox-static:$arch"
    busybox=$BOARD_DIR/busybox-$arch/bin/busybox

    linux=$BOARD_DIR/linux-$arch drivers=$BOARD_DIR/linux-$arch/drivers
    if [ ! -d "$drivers" ]; then
        private_apt
        # the metapackage names the newest kernel of the release
        newest=$(apt-cache depends "$kernel:$arch" | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p' | head -n 1)
        [ -n "$newest" ] || die "Debian has no kernel for $arch today ($kernel)"
        fetch "linux-$arch" "$linux" "${newest%:"$arch"}:$arch"
        mkdir "$drivers.part"
        for driver in $DRIVERS; do find "$linux/lib/modules" -name "$driver.ko" -exec cp {} "$drivers.part/" \;; done
        rm -rf "$linux/lib/modules"
        mv "$drivers.part" "$drivers"
    fi
    image=$(find "$linux/boot" -name 'vmlinuz-*' | head -n 1)
}

# `initramfs FOLDER FILE`: packs FOLDER as the guest's first file system.
initramfs() { (cd "$1" && find . | "$BOARD_DIR/bin/cpio" --quiet -o -H newc -R 0:0 | gzip -1) >"$2"; }

# `insmods`: for a script of the guest, the lines that load the drivers which are there (others the kernel has built in).
insmods() { for driver in $DRIVERS; do [ ! -e "$drivers/$driver.ko" ] || echo "insmod /lib/modules/$driver.ko"; done; }

# `starter FILE INITRD MB WORDS ARGUMENTS`: a script that starts the emulator on that kernel, with a tap device named
# guest, these words for the kernel's command line (a shell's $1 among them is the script's) and these arguments.
starter() {
    cat >"$1" <<END
#!/bin/sh
ip tuntap add dev guest mode tap && ip link set guest up || exit 1
! ip link show sw >/dev/null 2>&1 || ip link set guest master sw || exit 1
export LD_LIBRARY_PATH="$tools/usr/lib/x86_64-linux-gnu:$tools/lib/x86_64-linux-gnu"
exec "$tools/usr/bin/$emulator" -L "$tools/usr/share/qemu" -M virt -cpu $cpu -smp 1 -m $3 \\
    -kernel "$image" -initrd "$2" -append "console=ttyAMA0 quiet panic=-1 $4" -nographic -nodefaults -no-reboot \\
    -netdev tap,id=lan,ifname=guest,script=no,downscript=no -device virtio-net-device,netdev=lan $5
END
    chmod +x "$1"
}
