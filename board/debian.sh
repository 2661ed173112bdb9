# A Debian with systemd for armhf or arm64 in the emulator. Read by ./try-package, not run. Needs lib.sh, emulator.sh.

# `debian ARCH`: the disk of such a machine, $disk. It is made once: its packages are fetched and unpacked here, and
# then every one's scripts run there, on the ARM kernel.
debian() {
    disk=$BOARD_DIR/debian-$1.disk
    [ ! -e "$disk" ] || return 0
    want wget:wget mke2fs:e2fsprogs perl:perl
    fetch debootstrap "$tools" debootstrap:amd64
    from=$(mirror) || exit
    root=$BOARD_DIR/debian-$1
    rm -rf "$root"
    say "making a Debian for $1; it takes some minutes, this once"
    # shellcheck disable=SC2154 # tools is set by lib.sh
    DEBOOTSTRAP_DIR=$tools/usr/share/debootstrap "$tools/usr/sbin/debootstrap" --foreign --arch="$1" --variant=minbase \
        --include=systemd,systemd-sysv,init-system-helpers,adduser --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        "$SUITE" "$root" "$from" >"$BOARD_DIR/debian-$1.log" 2>&1 || {
        tail -n 3 "$BOARD_DIR/debian-$1.log" >&2
        die "Debian's packages for $1 could not be fetched from $from: is there a network? Another mirror is named in BOARD_MIRROR"
    }
    # a console without a getty: it is for what the kernel says
    ln -sf /dev/null "$root/etc/systemd/system/serial-getty@ttyAMA0.service"
    mke2fs -q -F -t ext4 -d "$root" "$disk.part" 1G >/dev/null || die "mke2fs could not make $disk.part, see above"
    rm -rf "$root"
    guest "$1" "$disk.part" guest.make
    unshare --net "$machine/start" <>/dev/null >"$BOARD_DIR/debian-$1.log" 2>&1
    # the last thing done is a file in it
    debugfs -R 'stat /made' "$disk.part" 2>/dev/null | grep -q Inode || {
        tail -n 20 "$BOARD_DIR/debian-$1.log" >&2
        die "Debian for $1 could not be made, see above"
    }
    mv "$disk.part" "$disk"
}

# `guest ARCH DISK WORD [FILE...]`: makes ready to start it, $machine/start, with these files in /packages.
guest() {
    machine=$BOARD_DIR/machine-$1
    rm -rf "$machine"
    on=$2 word=$3
    for folder in bin proc sys dev root packages lib/modules; do mkdir -p "$machine/root/$folder"; done
    shift 3
    # shellcheck disable=SC2154 # busybox, drivers: set by `emulator`
    cp "$busybox" "$machine/root/bin/"
    ln -s busybox "$machine/root/bin/sh"
    cp "$drivers"/*.ko "$machine/root/lib/modules/"
    insmods >"$machine/root/drivers"
    cp "$here/guest/debian-init" "$machine/root/init"
    cp "$here/guest/remote" "$machine/root/"
    for file; do cp "$file" "$machine/root/packages/"; done
    initramfs "$machine/root" "$machine/initrd.gz"
    [ "$word" = guest.make ] && keep=off || keep=on
    starter "$machine/start" "$machine/initrd.gz" 512 "$word systemd.show_status=0" \
        "-drive if=none,id=disk,file=$on,format=raw,cache=unsafe,snapshot=$keep -device virtio-blk-device,drive=disk \
         -device virtio-serial-device -chardev stdio,id=host -device virtconsole,chardev=host -serial file:$machine/console"
}
