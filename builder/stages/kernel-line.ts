import type { Profile } from "../profile/schema.ts";
import type { RootImage } from "./root.ts";

/** Label of the medium: at most 32 of A-Z, 0-9 and _; it names the root image, not the content. */
export function volumeId(rootId: string): string {
	return `SLIPWAY_${rootId.slice(0, 12).toUpperCase()}`;
}

/** Path on the medium that only a medium with this root image has; boot loaders search for it. */
export function rootMark(rootId: string): string {
	return `/.disk/root-${rootId.slice(0, 12)}`;
}

/** What the kernel is told on every menu entry, consoles excepted. `slipway.…` is read by the dracut module and the agent. */
export function kernelLine(profile: Profile, { rootId, verity }: RootImage): string[] {
	return [
		// The device that the dracut module opens. With rd.live.dir and the like dmsquash-live would look for a file instead.
		"root=live:/dev/mapper/slipway-root",
		"rd.live.image",
		"rd.live.overlay.overlayfs=1",
		`slipway.root=${rootId}`,
		`slipway.verity=${verity.blocks}:${verity.hash}:${verity.salt}`,
		// With less memory left over than rd.minmem the initrd stops; from there on the agent says what is missing.
		...(profile.root === "ram" ? ["slipway.ram=1", "rd.minmem=512"] : []),
		// A box at a site gives no shell to whoever stands in front of it.
		"rd.shell=0",
		// What a panic says, that of a damaged root image above all, can be read for a minute.
		"panic=60",
		// The kernel's test of the timer takes a host that stands still for 50 ms for a broken board, and may panic. Under hypervisors
		// that it knows it leaves the test out by itself; others, and emulators, it takes for hardware.
		...(profile.arch === "amd64" ? ["no_timer_check"] : []),
		...(profile.fips ? ["fips=1"] : []),
		...profile.kernel.arguments,
	];
}
