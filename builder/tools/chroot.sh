#!/bin/sh
# Runs a program inside a root folder: chroot.sh ROOT [--bind PATH]… PROGRAM [ARGUMENT…], where each PATH of the host is seen under the
# same name. Start it under `unshare --mount`: then the mounts below belong to this process alone and end with it, however it
# ends, so that nothing of the host can be reached through a folder that is about to be deleted.
set -eu
root=$1
shift
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=0755 dev "$root/dev"
for node in null zero full random urandom tty; do
	: >"$root/dev/$node"
	mount --bind "/dev/$node" "$root/dev/$node"
done
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=0755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
while [ "$1" = --bind ]; do
	if [ -d "$2" ]; then
		mkdir -p "$root$2"
	else
		mkdir -p "$root${2%/*}"
		: >>"$root$2"
	fi
	mount --bind "$2" "$root$2"
	shift 2
done
exec chroot "$root" "$@"
