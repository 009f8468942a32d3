import { chroot } from "./chroot.ts";
import type { Run } from "./run.ts";

/** What the BIOS core needs to find the medium and read its menu. */
const MODULES = [
	...["biosdisk", "iso9660", "part_gpt", "part_msdos", "search", "search_label", "search_fs_file"],
	...["normal", "linux", "configfile", "serial", "terminal", "echo", "test", "all_video", "reboot", "halt"],
];

/** grub-mkimage's command line for the El Torito image; paths are inside the root that holds GRUB. Pure. */
export function eltoritoArgs(modules: string, config: string, out: string): string[] {
	return ["-d", modules, "-O", "i386-pc-eltorito", "-p", "/boot/grub", "-c", config, "-o", out, ...MODULES];
}

/**
 * Makes the BIOS boot image with the base's own grub-mkimage, inside its root: program and modules are of one version, and the
 * bytes do not depend on the build host.
 */
export async function eltoritoImage(
	run: Run,
	root: string,
	modules: string,
	config: string,
	out: string,
	emulator: string | null,
): Promise<void> {
	await chroot(run, root, ["/usr/bin/grub-mkimage", ...eltoritoArgs(modules, config, out)], { emulator });
}
