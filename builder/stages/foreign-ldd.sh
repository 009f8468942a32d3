#!/bin/sh
# For dracut in the workshop: the libraries that a file of the root in /target loads, as the root's own loader says.
set -eu
loader=/usr/lib/ld-linux-aarch64.so.1
[ -e "/target$loader" ] || loader=/usr/lib64/ld-linux-x86-64.so.2
exec chroot /target /run/emulator "$loader" --list "${1#/target}"
