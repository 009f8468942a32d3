#!/bin/sh
# Runs a program in whose folder WORK/root nothing is flushed to the disk: unsynced.sh WORK PROGRAM [ARGUMENT…]. Start it under
# `unshare --mount`: the mount ends with the program, however that ends, and what it wrote lies in WORK until that is deleted. dpkg flushes its list at each step of each package; a root that is half made when the power goes is made anew anyway.
set -eu
work=$1
shift
# Relative paths: in the list of options commas and colons mean something.
here=$PWD
cd "$work"
mkdir lower upper work root
mount -t overlay -o volatile,lowerdir=lower,upperdir=upper,workdir=work overlay root ||
	echo "Here the disk is flushed all the while: there is no overlay without." >&2
cd "$here"
exec "$@"
