import type { Profile } from "../profile/schema.ts";

/** Label of the medium: at most 32 of A-Z, 0-9 and _; it names the root image, not the content. */
export function volumeId(rootId: string): string {
	return `SLIPWAY_${rootId.slice(0, 12).toUpperCase()}`;
}

/** Path on the medium that only a medium with this root image has; boot loaders search for it. */
export function rootMark(rootId: string): string {
	return `/.disk/root-${rootId.slice(0, 12)}`;
}

/** What the kernel is told on every menu entry, consoles excepted. */
export function kernelLine(profile: Profile, rootId: string): string[] {
	return [
		`root=live:CDLABEL=${volumeId(rootId)}`,
		"rd.live.image",
		"rd.live.dir=live",
		"rd.live.squashimg=rootfs.squashfs",
		"rd.live.overlay.overlayfs=1",
		// dracut ends without a word a person could use when less memory than that is left; the agent says what is missing.
		...(profile.root === "ram" ? ["rd.live.ram=1", "rd.minmem=512"] : []),
		// A box at a site gives no shell to whoever stands in front of it.
		"rd.shell=0",
		`slipway.root=${rootId}`,
		...(profile.fips ? ["fips=1"] : []),
		...profile.kernel.arguments,
	];
}
