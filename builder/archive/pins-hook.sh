#!/bin/sh
# Run by mmdebstrap twice, with lines `name=version [sha256]` in $SLIPWAY_PINS. Before apt chooses: it may take no other version. When
# it has read the archive's index and installed nothing yet: each package must be there, with its digest; else `changed:` lines tell.
set -eu
preferences=$1/etc/apt/preferences.d/slipway
case $MMDEBSTRAP_HOOK in
setup)
	mkdir -p "${preferences%/*}"
	printf '%s\n' "$SLIPWAY_PINS" |
		sed 's/^\([^=]*\)=\([^ ]*\).*/Package: \1\nPin: version \2\nPin-Priority: 1001\n/' >"$preferences"
	;;
extract)
	# From here on versions are named, or come from an archive that nobody could foretell.
	rm "$preferences"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	# The list is of words without blanks or wildcards. apt-cache tells of what is not there by its exit code alone.
	# shellcheck disable=SC2046
	APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-cache show $(printf '%s\n' "$SLIPWAY_PINS" | cut -d' ' -f1) 2>/dev/null |
		awk '/^Package: / { name = $2 } /^Version: / { version = $2 }
			/^SHA256: / { print name "=" version; print name "=" version " " $2 }' | sort -u >"$work/offered"
	printf '%s\n' "$SLIPWAY_PINS" | sort -u | comm -23 - "$work/offered" >"$work/changed"
	[ -s "$work/changed" ] || exit 0
	sed 's/^/changed: /' "$work/changed" >&2
	exit 1
	;;
esac
