#!/bin/sh
# Run by mmdebstrap after `apt-get update` in an empty root: leaves in $SLIPWAY_OUT the signed Release files and what apt would install.
set -eu
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
cp "$1"/var/lib/apt/lists/*Release "$SLIPWAY_OUT"
# The lists are words without blanks or wildcards, checked by the schema.
# shellcheck disable=SC2086
apt-get --simulate --yes install '?essential' $SLIPWAY_PACKAGES >"$SLIPWAY_OUT/install.txt"
for package in $SLIPWAY_BOOT_PACKAGES; do
	apt-cache policy "$package" | sed -n "s/^  Candidate: /$package /p"
done >"$SLIPWAY_OUT/boot.txt"
