#!/bin/sh
# Run by mmdebstrap before the last hook, for bases whose FIPS packages need a token of Ubuntu Pro: attach, install, detach, and leave
# no trace of the token, all in one step. Takes SLIPWAY_PRO_TOKEN_FILE, SLIPWAY_PRO_SERVICE (fips or fips-updates), SLIPWAY_PRO_PACKAGES,
# and SLIPWAY_PRO_CONTRACTS, the address of the service that the token is for. With SLIPWAY_PRO_DOWNLOAD they are not installed: the packages, with all that an empty root would need, and
# the signed Release files go to that folder of the host.
set -eu
root=$1
config=$root/run/slipway-pro.yaml

in_root() {
	# A FIPS host would make the client's own TLS fail inside a root that has no FIPS provider yet.
	chroot "$root" env DEBIAN_FRONTEND=noninteractive INITRD=No OPENSSL_FORCE_FIPS_MODE=0 "$@"
}

scrub() {
	rm -rf "$config" "$root/var/lib/ubuntu-advantage" "$root/var/lib/ubuntu-pro" "$root/etc/ubuntu-advantage" \
		"$root/run/ubuntu-advantage"
	rm -f "$root"/etc/apt/auth.conf.d/*ubuntu-advantage* "$root"/etc/apt/auth.conf.d/*ubuntu-pro* \
		"$root"/etc/apt/sources.list.d/ubuntu-fips* "$root"/etc/apt/sources.list.d/ubuntu-esm* \
		"$root"/var/log/ubuntu-advantage* "$root"/var/log/ubuntu-pro* "$root"/var/log/apt/*
}
# What must be found nowhere: the token, and those that the vendor's service gives for it.
collect() {
	private=$root/var/lib/ubuntu-advantage/private/machine-token.json
	[ ! -f "$private" ] || tr ',{}' '\n\n\n' <"$private" | sed -n 's/.*[tT]oken" *: *"\([^"]\{12,\}\)".*/\1/p'
	cat "$root"/etc/apt/auth.conf.d/* 2>/dev/null | sed -n 's/.*password  *\([^ ]\{12,\}\).*/\1/p'
}
# However this ends, the machine must not stay attached, nor the token lie about.
undo() {
	trap '' TERM INT HUP
	in_root pro detach --assume-yes >/dev/null 2>&1 || true
	scrub
	rm -f "$patterns"
}
umask 077
patterns=$(mktemp)
trap undo EXIT
# The shell runs the trap above for an exit, not for a signal.
trap 'exit 143' TERM INT HUP

{
	tr -d '[:space:]' <"$SLIPWAY_PRO_TOKEN_FILE"
	echo
} >"$patterns"
mkdir -p "$root/run"
{
	printf 'token: '
	tr -d '[:space:]' <"$SLIPWAY_PRO_TOKEN_FILE"
	printf '\nenable_services: []\n'
} >"$config"
umask 022
mkdir -p "$root/etc/ubuntu-advantage"
printf 'contract_url: %s\n' "$SLIPWAY_PRO_CONTRACTS" >"$root/run/slipway-uaclient.conf"
grep -sv '^contract_url:' "$root/etc/ubuntu-advantage/uaclient.conf" >>"$root/run/slipway-uaclient.conf" || true
mv "$root/run/slipway-uaclient.conf" "$root/etc/ubuntu-advantage/uaclient.conf"
in_root pro attach --attach-config /run/slipway-pro.yaml
rm -f "$config"
# Sources without the switch of kernel and services, which would look at the build host.
in_root pro enable --access-only --assume-yes "$SLIPWAY_PRO_SERVICE"
collect >>"$patterns"
# The build's own archives may be old where digests are recorded. Nothing is recorded of what comes from here, so old lists are refused.
find "$root/etc/apt/sources.list.d" -name 'ubuntu-*.list' -exec sed -i -E \
	-e 's/^(deb(-src)?)[[:blank:]]+\[/\1 [check-valid-until=yes /' \
	-e 's/^(deb(-src)?)[[:blank:]]+([^[:blank:][])/\1 [check-valid-until=yes] \3/' {} +
find "$root/etc/apt/sources.list.d" -name 'ubuntu-*.sources' -exec sed -i 's/^Types:/Check-Valid-Until: yes\n&/' {} +
in_root apt-get update
# The list is of words without blanks or wildcards, checked by the schema.
# shellcheck disable=SC2086
if [ -n "${SLIPWAY_PRO_DOWNLOAD-}" ]; then
	mkdir -p "$root/var/cache/slipway/partial" "$SLIPWAY_PRO_DOWNLOAD/archives" "$SLIPWAY_PRO_DOWNLOAD/lists"
	: >"$root/var/cache/slipway/status"
	in_root apt-get install --download-only --yes --no-install-recommends -o APT::Sandbox::User=root \
		-o Dir::State::status=/var/cache/slipway/status -o Dir::Cache::archives=/var/cache/slipway $SLIPWAY_PRO_PACKAGES
	cp "$root"/var/cache/slipway/*.deb "$SLIPWAY_PRO_DOWNLOAD/archives"
	cp "$root"/var/lib/apt/lists/*Release "$SLIPWAY_PRO_DOWNLOAD/lists"
else
	in_root apt-get install --yes --no-install-recommends --allow-downgrades $SLIPWAY_PRO_PACKAGES
fi
in_root pro detach --assume-yes
in_root apt-get purge --yes ubuntu-pro-client
scrub
trap 'rm -f "$patterns"' EXIT

# The proof that it worked: their text is nowhere in the root.
for folder in "$root"/*; do
	case $folder in */proc | */sys | */dev) continue ;; esac
	if found=$(grep -rlFa -f "$patterns" "$folder" 2>/dev/null) && [ -n "$found" ]; then
		echo "E_STAGE: a token of Ubuntu Pro is still in $found" >&2
		exit 1
	fi
done
