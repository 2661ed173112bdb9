PKG_BUILD_DIR:=$(OUT)/$(PKG_NAME)-$(PKG_VERSION)
PKG_INSTALL_DIR:=$(PKG_BUILD_DIR)/ipkg-install

# `make prepare compile install`: the recipe's lines; `make info`: what it says of the package.
define BuildPackage
$(Package/$(1))

prepare:
	$$(Build/Prepare)

compile:
	$$(Build/Compile)

install:
	$$(call Package/$(1)/install,$(OUT)/root)

info:
	@echo "$(PKG_NAME) $(PKG_VERSION)-$(PKG_RELEASE) $(PKG_LICENSE): $$(strip $$(SECTION)), $$(strip $$(CATEGORY)), $$(strip $$(TITLE)), needs $$(strip $$(DEPENDS))"
	@echo "kept: $$(strip $$(Package/$(1)/conffiles))"
endef
