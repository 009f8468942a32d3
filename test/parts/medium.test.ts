import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT_ID } from "../support/box.ts";
import { LABEL, makeMachine } from "../support/machine.ts";

/**
 * The medium and the content stick as they come and go: the box's script with real block devices and real mounts, in a name
 * space of its own; ext4 stands in for the ISO's file system, which not every host's kernel has. Needs root.
 */

const iso = (text: string, rootId = ROOT_ID) => ({
	".disk/root-0123456789ab": `${rootId}\n`,
	"content/release": `${text}\n`,
});
const DISK = `'/dev/sda  ${LABEL}' '/dev/sda1 sda ${LABEL}'`;

test("the medium is mounted read-only where the agent looks, once, and a medium of another root image is not", async () => {
	const box = await makeMachine();
	await box.device("sda", await box.image("medium", iso("one")));
	await box.device("sdb", await box.image("other", iso("other", "f".repeat(64))));
	const said = await box.script(`
		plug ${DISK}; medium; cat $at/content/release
		findmnt -no SOURCE,OPTIONS $at; before=$(grep $at /proc/self/mountinfo)
		medium; [ "$before" = "$(grep $at /proc/self/mountinfo)" ] && echo "unchanged$said"
		plug '/dev/sdb  ${LABEL}'; medium; echo "$said"; ls -A $at $at/content`);
	expect(said).toMatch(/^one\n\/dev\/sda +ro,nosuid,nodev,noexec,.*\nunchanged\nE_MEDIA\n/);
	expect(said).toMatch(
		/\nE_MEDIA\nThe medium of the root image 0123456789ab cannot be read\.\nInsert .*\n.*slipway-medium:\ncontent\n\n.*content:$/,
	);
});

test("a medium that is pulled out and put back is there again, for a name space that is older than both, with its files held", async () => {
	const box = await makeMachine();
	const image = await box.image("medium", iso("one"));
	await box.device("sda", image);
	await box.device("sdb", image);
	const said = await box.script(`
		plug ${DISK}; medium
		mkfifo $FOLDER/ask $FOLDER/answer
		unshare --mount --propagation=slave sh -c '
			exec 3</run/slipway-medium/content/release
			while read word; do { echo $word; cat /run/slipway-medium/content/release || echo nothing; } 2>/dev/null; done
			cat <&3' <$FOLDER/ask >$FOLDER/answer &
		exec 4>$FOLDER/ask 5<$FOLDER/answer
		ask() { echo $1 >&4; read word <&5; read what <&5; echo "$word: $what"; }
		ask there
		plug; medium; ask pulled
		plug '/dev/sdb  ${LABEL}'; medium; ask back; findmnt -no SOURCE $at
		exec 4>&-; cat <&5; wait`);
	expect(said).toBe("there: one\npulled: nothing\nback: one\n/dev/sdb\none");
});

test("a content stick is mounted nowhere else than where the agent looks, wherever a link on the medium leads", async () => {
	const box = await makeMachine();
	const { "content/release": _, ...mark } = iso("one");
	await box.device("sda", await box.image("medium", mark, { content: "/run/victim" }));
	await box.device("sdc", await box.image("mark", {}, { ".disk": "/run/victim" }));
	await box.device("sdb1", await box.image("stick", { release: "two\n" }));
	await mkdir(join(box.folder, "run/victim"));
	await writeFile(join(box.folder, "run/victim/root-0123456789ab"), `${ROOT_ID}\n`);
	const said = await box.script(`
		plug ${DISK} '/dev/sdb1 sdb SLIPCONTENT'; medium; echo "$said"; findmnt -no SOURCE $at; ls /run/victim
		medium; echo "again $said"; grep -c /dev/sdb1 /proc/self/mountinfo || true; ls $at/content/ 2>&1 || true
		plug '/dev/sdc  ${LABEL}'; medium; echo "$said"`);
	const refused =
		"E_MEDIA\nThe content stick /dev/sdb1 cannot be mounted.\nMake an ext4, XFS, exFAT or FAT file system on it.";
	expect(said).toMatch(
		`${refused}\n/dev/sda\nroot-0123456789ab\nagain ${refused}\n0\n` +
			"ls: cannot access '/run/slipway-medium/content/': Too many levels of symbolic links\n" +
			"E_MEDIA\nThe medium of the root image 0123456789ab cannot be read.\n",
	);
});

test("what is refused stands in a file of root's own until a run has nothing to refuse", async () => {
	const box = await makeMachine();
	await box.device("sda", await box.image("medium", iso("one")));
	const said = await box.script(`
		told=/run/slipway-boot/medium
		plug ${DISK} '/dev/sdb1 sdb SLIPCONTENT' '/dev/sdc1 sdc SLIPCONTENT'; medium
		[ "$said" = "$(cat $told)" ]; cat $told
		medium; [ "$said" = "$(cat $told)" ]
		plug ${DISK}; medium; stat -c '%s %a' $told; ls /run/slipway-boot`);
	expect(said).toMatch(/^E_MEDIA\nMore than one medium has the label SLIPCONTENT: .*\nLeave .*\n0 644\nmedium$/);
});

test("of two media none is taken, but a second one does not disturb the first", async () => {
	const box = await makeMachine();
	await box.device("sda", await box.image("medium", iso("one")));
	const said = await box.script(`
		plug ${DISK} '/dev/sr0  ${LABEL}'; medium; echo "$said"; ls $at/content
		plug ${DISK}; medium; plug '/dev/sr0  ${LABEL}' ${DISK}; medium; echo "again$said"; cat $at/content/release`);
	expect(said).toMatch(/^E_MEDIA\nMore than one medium has the label SLIPWAY_0123456789AB: \/dev\/sda \/dev\/sr0\.\n/);
	expect(said).toMatch(/restart\.\nagain\none$/);
});

test("of a stick's two devices the one is taken that the initrd holds, if it holds any", async () => {
	const box = await makeMachine();
	const image = await box.image("medium", iso("one"));
	await box.device("sda", image);
	await box.device("sda1", image);
	const said = await box.script(`
		/bin/mount -o ro /dev/sda1 /run/initramfs/medium
		plug ${DISK}; medium; findmnt -no SOURCE $at
		plug; medium; ls /run/initramfs/medium
		umount /run/initramfs/medium
		plug ${DISK}; medium; findmnt -no SOURCE $at`);
	expect(said).toBe("/dev/sda1\ncontent\nlost+found\n/dev/sda");
});

test("a content stick takes the place of the medium's content, with and without the medium; of two none does", async () => {
	const box = await makeMachine();
	await box.device("sda", await box.image("medium", iso("one")));
	await box.device("sdb1", await box.image("stick", { release: "two\n" }));
	const STICK = "'/dev/sdb1 sdb SLIPCONTENT'";
	const said = await box.script(`
		show() { echo $1: $(cat $at/content/release 2>/dev/null || echo nothing) $(ls -d $at/.disk 2>/dev/null); }
		plug ${DISK}; medium; show medium
		plug ${DISK} ${STICK}; medium; show both; grep -c /content /proc/self/mountinfo
		plug ${STICK}; medium; show stick
		plug ${DISK} ${STICK}; medium; show 'both again'
		plug ${DISK}; medium; show 'medium again'; grep -c /content /proc/self/mountinfo || true
		plug ${DISK} ${STICK} '/dev/sdc1 sdc SLIPCONTENT'; medium; echo "$said"; show 'two sticks'
		plug; medium; show none`);
	const DOT = "/run/slipway-medium/.disk";
	expect(said).toBe(`medium: one ${DOT}
both: two ${DOT}
1
stick: two
both again: two ${DOT}
medium again: one ${DOT}
0
E_MEDIA
More than one medium has the label SLIPCONTENT: /dev/sdb /dev/sdc.
Leave exactly one medium in the machine, and restart.
two sticks: one ${DOT}
none: nothing`);
});
