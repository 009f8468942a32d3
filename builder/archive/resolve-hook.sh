#!/bin/sh
# Run by mmdebstrap after `apt-get update` in an empty root: leaves in $SLIPWAY_OUT the signed Release files, what apt would install
# for each list NAME.asked (as NAME.install), and what the archive's index says about all of it.
set -eu
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
cp "$1"/var/lib/apt/lists/*Release "$SLIPWAY_OUT"
cd "$SLIPWAY_OUT"
# The lists are words without blanks or wildcards, checked by the schema.
# shellcheck disable=SC2046
for asked in *.asked; do
	apt-get --simulate --yes install $(cat "$asked") >"${asked%.asked}.install"
done
# Without a name it would tell of the archives.
: >boot.txt
# shellcheck disable=SC2086
[ -z "$SLIPWAY_BOOT_PACKAGES" ] || apt-cache policy $SLIPWAY_BOOT_PACKAGES |
	awk '/^[^ ]/ { sub(/:$/, ""); name = $0 } /^  Candidate: / { print name, $2 }' >boot.txt
# shellcheck disable=SC2046
apt-cache show $({
	sed -n 's/^Inst \([^ ]*\) \(\[[^]]*\] \)\{0,1\}(\([^ ]*\) .*/\1=\3/p' ./*.install
	sed 's/ /=/' boot.txt
} | sort -u) >index.txt
