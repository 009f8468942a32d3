#!/bin/sh
# Checks the signature of every bundle (*.zst) and ISO in a folder with openssl alone.
#
#   verify.sh [KEY] [FOLDER]      default: public_key.pem in FOLDER, and the folder of this script
#
# Get KEY, or the key id printed below, from the vendor by another way than the folder: whoever can change the folder can
# change a key in it too. Exit code 0: every file is signed with the key. 4: no openssl. 6: anything else.
set -u

folder=${2-$(dirname -- "$0")}
case $folder in -*) folder=./$folder ;; esac
key=${1-$folder/public_key.pem}
case $key in -*) key=./$key ;; esac

# A name may hold anything; a terminal gets printable characters only.
show() {
	printf '%s' "$1" | LC_ALL=C tr -c '[:print:]' '?'
}

fail() {
	printf '%s: %s\n' "$1" "$2" >&2
	exit "$3"
}

command -v openssl >/dev/null 2>&1 || fail E_TOOL_MISSING "openssl is not installed." 4
[ -d "$folder" ] || fail E_EMPTY "There is no folder $(show "$folder")." 6
id=$(openssl pkey -pubin -in "$key" -outform DER 2>/dev/null | openssl dgst -sha256 -r | cut -d ' ' -f 1)
openssl pkey -pubin -in "$key" -noout 2>/dev/null || fail E_KEY_UNKNOWN "$(show "$key") is not a public key." 6
printf 'Key %s\n' "$id"
head -n 1 -- "$key" | grep '^Slipway development key' >/dev/null && echo 'This is a DEVELOPMENT key: not for production.'

good=0
bad=0

# verify FILE SIGNATURE
verify() {
	if [ ! -f "$2" ]; then
		result='NO SIGNATURE'
	elif openssl dgst -sha256 -verify "$key" -signature "$2" "$1" >/dev/null 2>&1; then
		result=OK
	else
		result='WRONG SIGNATURE'
	fi
	if [ "$result" = OK ]; then good=$((good + 1)); else bad=$((bad + 1)); fi
	printf '%s: %s\n' "$(show "${1##*/}")" "$result"
}

# Going by the files, not by the signatures: a file whose signature was taken away must not go unnoticed.
for file in "$folder"/*.zst "$folder"/.[!.]*.zst; do
	[ -e "$file" ] || [ -h "$file" ] || continue
	verify "$file" "${file%.zst}.sig.bin"
done
for file in "$folder"/*.iso "$folder"/.[!.]*.iso; do
	[ -e "$file" ] || [ -h "$file" ] || continue
	verify "$file" "$file.sig.bin"
done
for signature in "$folder"/*.sig.bin; do
	[ -e "$signature" ] || continue
	file=${signature%.sig.bin}
	case $file in *.iso) [ -e "$file" ] && continue ;; *) [ -e "$file.zst" ] && continue ;; esac
	if [ -f "$file" ]; then
		verify "$file" "$signature"
	else
		bad=$((bad + 1))
		printf '%s: NO FILE\n' "$(show "${signature##*/}")"
	fi
done

[ $((good + bad)) -gt 0 ] || fail E_EMPTY "There is nothing signed in $(show "$folder")." 6
[ "$bad" -eq 0 ] || fail E_SIG_INVALID "$bad of $((good + bad)) failed." 6
printf '%s verified.\n' "$good"
