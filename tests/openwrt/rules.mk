# Not OpenWrt: just enough beside it that make can read the recipe of board/openwrt and run its own lines on this machine
# (tests/board_scripts.rs). What OpenWrt's build system itself does with them, only OpenWrt's build system can show.
# OUT: where everything goes.
SHELL:=/bin/bash
INCLUDE_DIR:=$(TOPDIR)/include
CP:=cp -fpR
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_DATA:=install -m0644
