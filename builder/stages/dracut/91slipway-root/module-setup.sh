#!/bin/bash
# dracut module of the appliance: opens the root image through dm-verity, for dmsquash-live to go on with (docs/iso.md).

check() {
	return 255
}

depends() {
	echo dmsquash-live dm
}

installkernel() {
	hostonly='' instmods dm-verity loop iso9660 squashfs
}

install() {
	inst_multiple cat cp dd dmsetup ln losetup lsblk mkdir mount sed sleep stat systemctl tr umount
	inst_script "$moddir/slipway-root.sh" /sbin/slipway-root
	inst_hook initqueue/settled 50 "$moddir/settled.sh"
	inst_hook initqueue/timeout 50 "$moddir/timeout.sh"
	dracut_need_initqueue
}
