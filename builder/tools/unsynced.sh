#!/bin/sh
# Runs a program in whose folder ROOT nothing is flushed to the disk: unsynced.sh ROOT PROGRAM [ARGUMENT…]. Start it under
# `unshare --mount`: the mount ends with the program, however that ends, and what it wrote lies in ROOT's neighbours until they are
# deleted. dpkg flushes its list at each step of each package; a root that is half made when the power goes is made anew anyway.
set -eu
root=$1
shift
# Relative paths: in the list of options commas and colons mean something.
(cd "${root%/*}" && mkdir -p lower upper work "$root" &&
	mount -t overlay -o volatile,lowerdir=lower,upperdir=upper,workdir=work overlay "$root") ||
	echo "Here the disk is flushed all the while: there is no overlay without." >&2
exec "$@"
