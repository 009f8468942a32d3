#!/bin/sh
# slipway-root open     finds the medium with the root image of the kernel line and opens it through dm-verity, as
#                       /dev/mapper/slipway-root; nothing happens while there is no such medium
# slipway-root missing  says that there was none
# The kernel line: slipway.root=ID, slipway.verity=BLOCKS:ROOT-HASH:SALT, slipway.ram=1, slipway.check=1, rd.minmem=MIB.
command -v getarg >/dev/null || . /lib/dracut-lib.sh

# Never /run/initramfs/live: dmsquash-live takes files and updates from there, in place of the mapping, without a word.
medium=/run/initramfs/medium
image=live/rootfs.squashfs
memory=/run/initramfs/slipway-root
id=$(getarg slipway.root=)
short=$(printf %.12s "$id")
label=SLIPWAY_$(echo "$short" | tr a-f A-F)
verity=$(getarg slipway.verity=)
salt=${verity##*:}
blocks=${verity%%:*}
hash=${verity#*:}
hash=${hash%:*}

# On every console, whatever `quiet` keeps away.
say() { # LINE…
	for line; do echo "<24>slipway: $line"; done >/dev/kmsg
}

# A person must have the time to read why.
stop() { # LINE…
	say "$@" "The machine restarts in 60 seconds."
	sleep 60
	systemctl reboot --force --force
	exit 1
}

damaged() {
	stop "E_ROOT_IMAGE: The root image on the medium is damaged: $image." "Next: Write the ISO to another medium, and start from that."
}

# Any device may bear the label; the mark says that the medium holds this root image. Of two that do, either will do: whatever is
# wrong with one, not one byte gets past the root hash. No link of the medium is followed.
mount_medium() {
	mkdir -p $medium
	for device in $(lsblk -e 7 -nro PATH,LABEL | while read -r path name; do [ "$name" != "$label" ] || echo "$path"; done); do
		mount -t iso9660 -o ro,nosuid,nodev,noexec,nosymfollow "$device" $medium || continue
		[ "$(cat "$medium/.disk/root-$short")" != "$id" ] || return 0
		umount $medium
	done
	return 1
}

# Maps the image, hash tree behind the data (one superblock in between), as a device that gives no byte but the right ones.
map() { # NAME FILE [OPTION]
	loop=$(losetup -rf --show "$2") &&
		dmsetup create "$1" --readonly --table \
			"0 $((blocks * 8)) verity 1 $loop $loop 4096 4096 $blocks $((blocks + 1)) sha256 $hash $salt ${3:+1 $3}"
}

# Reads the whole image through a mapping that fails where the kernel would panic, so that it can be told in words.
check() { # FILE
	map slipway-check "$1" || return 0 # told when the real mapping fails too
	part=$((blocks / 10 + 1))
	for tenth in 0 1 2 3 4 5 6 7 8 9; do
		dd if=/dev/mapper/slipway-check of=/dev/null bs=4096 skip=$((tenth * part)) count=$part 2>/dev/null || return
		getargbool 0 slipway.check && say "Checking the root image: $((tenth + 1))0 %"
	done
	dmsetup remove --retry slipway-check && losetup -d "$loop"
	return 0
}

# The FIPS module's own check of the kernel looks for it where dmsquash-live would have mounted the medium.
keep_kernel() { # COMMAND…
	mkdir -p /run/initramfs/live
	[ ! -f $medium/vmlinuz0 ] || "$@" $medium/vmlinuz0 /run/initramfs/live/vmlinuz0
}

to_memory() {
	need=$(($(stat -c %s $medium/$image) / 1048576 + 1))
	free=$(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo)
	least=$(getarg rd.minmem=)
	[ $((free / 1024 - need)) -ge "${least:-1024}" ] || stop \
		"E_REQUIREMENTS: The root image takes $need MiB of memory, and ${least:-1024} MiB must be left; $((free / 1024)) MiB are free." \
		"Next: Give the machine more memory."
	mkdir -p $memory
	mount -t tmpfs -o size=${need}m,mode=0700,nosuid,nodev,noexec slipway-root $memory
	# What cannot be read is as bad as what is wrong.
	cp $medium/$image $memory/rootfs.squashfs || damaged
	keep_kernel cp
	umount $medium
}

case $1 in
missing)
	say "E_MEDIA: The medium of the root image $short was not found." "Next: Insert the medium that this machine is started from, and restart."
	exit
	;;
esac
[ -n "$verity" ] && mount_medium 2>/dev/null || exit
file=$medium/$image
if getargbool 0 slipway.ram; then
	to_memory
	file=$memory/rootfs.squashfs
	check $file || damaged
else
	keep_kernel ln -s
	! getargbool 0 slipway.check || check $file || damaged
	# The last word that can be had on the screen: the kernel does not ask anybody before it panics.
	say "Root image $short from $device. If \"dm-verity device corrupted\" follows, the medium is damaged: write the ISO to another one."
fi
map slipway-root $file panic_on_corruption || stop "E_IO: The root image cannot be opened." "Next: Restart; if it happens again, report it."
