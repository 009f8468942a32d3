#!/bin/sh
# Run by mmdebstrap when the root is complete: what the archive's packages leave to their administrator, and files for the boot stage.
set -eu
root=$1
# Copies of the build host's own files, and the machine id that each box makes for itself.
rm -f "$root/etc/resolv.conf" "$root/etc/hostname"
: >"$root/etc/machine-id"
# The provider refuses to load without the check value of its own file; this also runs its self-tests once, for the log.
if [ -n "$SLIPWAY_FIPS_MODULE" ]; then
	mkdir -p "$root/etc/slipway"
	# One program, so it is emulated where it is of another architecture than the host.
	[ -z "${SLIPWAY_EMULATOR-}" ] || cp "$SLIPWAY_EMULATOR" "$root/run/emulator"
	chroot "$root" ${SLIPWAY_EMULATOR:+/run/emulator} /usr/bin/openssl fipsinstall -module "$SLIPWAY_FIPS_MODULE" \
		-out /etc/slipway/fipsmodule.cnf
	rm -f "$root/run/emulator"
fi
cd "$SLIPWAY_BOOT_OUT"
# The list is of words without blanks or wildcards, checked by the schema.
# shellcheck disable=SC2086
[ -z "$SLIPWAY_BOOT_PACKAGES" ] || APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -o APT::Sandbox::User=root download $SLIPWAY_BOOT_PACKAGES
# The appliance installs nothing, and the mirror of a build is nobody's business: the same packages make the same root.
rm -f "$root/etc/apt/sources.list" "$root"/etc/apt/sources.list.d/*
# An option for this installation alone.
sed -i '/^force-unsafe-io$/d' "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
