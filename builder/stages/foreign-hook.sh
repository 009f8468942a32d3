#!/bin/sh
# Run by mmdebstrap in the workshop when packages of another architecture were installed without running one of their programs:
# what their scripts did to the workshop, or could not do, is done to the root.
set -eu
root=$1

# Its result holds the names of its sources, so they are seen where the appliance has them.
update_hwdb() {
	unshare --mount --propagation unchanged sh -euc 'mount --bind "$1" /usr/lib/udev && systemd-hwdb --usr update' sh "$root/usr/lib/udev"
}

for modules in "$root"/usr/lib/modules/*; do
	version=${modules##*/}
	depmod --basedir "$root" "$version"
	ln -sf "boot/vmlinuz-$version" "$root/vmlinuz"
	ln -sf "boot/vmlinuz-$version" "$root/vmlinuz.old"
done
update_hwdb
if [ -e "$root/usr/sbin/pwconv" ]; then
	pwconv --root "$root"
	grpconv --root "$root"
fi
[ -e "$root/etc/modules" ] || cp -p /etc/modules "$root/etc/modules"

# It leaves out what is not of its own architecture, so it is the root's own that must run.
cp "$SLIPWAY_EMULATOR" "$root/run/emulator"
chroot "$root" /run/emulator /usr/sbin/ldconfig
rm "$root/run/emulator"

# A script that knows of no other root than its own has worked on the workshop, and what it did is missing in the root.
strayed=$(find /boot /etc /opt /usr /var -xdev -cnewer "$SLIPWAY_STAMP" ! -type d ! -path '/usr/lib/modules/*' \
	! -path /usr/lib/udev/hwdb.bin ! -path '/var/tmp/*' ! -path "$SLIPWAY_BOOT_OUT/*" ! -path "$0" \
	! -path /etc/hosts ! -path /etc/resolv.conf ! -path /etc/ssl/certs/ca-certificates.crt ! -path "$SLIPWAY_EMULATOR")
if [ -n "$strayed" ]; then
	echo "strayed: $(echo "$strayed" | tr '\n' ' ')" >&2
	exit 1
fi
