#!/bin/sh
# Run by mmdebstrap when apt has read the archive: leaves in $SLIPWAY_OUT the locked packages, and apt's lists with the addresses that
# they are from.
set -eu
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
cp -r "$1/var/lib/apt/lists" "$SLIPWAY_OUT/lists"
apt-get indextargets --format '$(FILENAME) $(URI)' 'Identifier: Packages' >"$SLIPWAY_OUT/targets.txt"
mkdir "$SLIPWAY_OUT/archives"
cd "$SLIPWAY_OUT/archives"
# The list is of words without blanks or wildcards, checked by the schema.
# shellcheck disable=SC2046
apt-get -o APT::Sandbox::User=root download $(printf '%s\n' "$SLIPWAY_PINS" | cut -d' ' -f1)
