#!/bin/sh
# Run by mmdebstrap in an empty root: downloads the packages of the named sets into $STANDIN_OUT.
set -eu
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
cd "$STANDIN_OUT"
closure() {
	[ $# -eq 0 ] || apt-get --simulate --yes install "$@" | sed -n 's/^Inst \([^ ]*\) \(\[[^]]*\] \)\{0,1\}(\([^ ]*\) .*/\1=\3/p'
}
# The lists are words without blanks or wildcards.
# shellcheck disable=SC2046,SC2086
apt-get -o APT::Sandbox::User=root download $({
	closure '?essential' $STANDIN_ROOT
	closure $STANDIN_CONTENT
	printf '%s\n' $STANDIN_ALONE
} | sort -u)
