RUST_ARCH_DEPENDS:=@(aarch64||arm||x86_64)

# OpenWrt's too lets cargo install the programs of the prepared sources, without touching Cargo.lock.
define Build/Compile
	cargo install --locked --path $(PKG_BUILD_DIR) --root $(PKG_INSTALL_DIR) $(CARGO_INSTALL)
endef

RustBinPackage=
