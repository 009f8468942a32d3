import { SlipwayError } from "../../bundle/errors.ts";
import type { Profile } from "../profile/schema.ts";
import { FIRMWARE, type Firmware } from "../tools/qemu.ts";
import { startsByBios } from "../uki/boots.ts";

export const MEDIA = ["cd", "usb"] as const;
export type Media = (typeof MEDIA)[number];

/** One row of the matrix; architecture and FIPS are the release's own. */
export interface Combination {
	readonly firmware: Firmware;
	readonly media: Media;
	/** Why no machine can be started so; null: it can. */
	readonly impossible: string | null;
}

/** What decides in which combinations an ISO can start. */
export interface Startable extends Pick<Profile, "arch" | "boot"> {
	/** Drivers that its kernel has not. */
	readonly lacks: readonly string[];
}

/** All combinations of an ISO, those that cannot be among them. Pure. */
export function combinations(iso: Startable): Combination[] {
	return FIRMWARE.flatMap((firmware) =>
		MEDIA.map((media) => ({ firmware, media, impossible: impossible(iso, firmware, media) })),
	);
}

function impossible({ arch, boot, lacks }: Startable, firmware: Firmware, media: Media): string | null {
	if (firmware === "bios" && !startsByBios({ arch, boot }))
		return arch === "arm64" ? "arm64 machines have no BIOS" : "a unified kernel image starts by UEFI alone";
	return media === "usb" && lacks.includes("usb-storage") ? "the profile's kernel cannot read sticks" : null;
}

/** Name of a combination, as `--only` takes it. */
export function keyOf({ firmware, media }: Pick<Combination, "firmware" | "media">): string {
	return `${firmware}/${media}`;
}

/**
 * What `--only` lets through: words such as `uefi`, `usb`, or `bios/cd`, one of which must fit. Errors: E_USAGE.
 */
export function onlyFilter(
	words: readonly string[] | undefined,
): (c: Pick<Combination, "firmware" | "media">) => boolean {
	if (words === undefined) return () => true;
	const wanted = words.map((word) => {
		const [first = "", second, ...more] = word.split("/");
		const firmware = FIRMWARE.find((one) => one === first);
		const media = MEDIA.find((one) => one === (second ?? first));
		if (more.length === 0 && (second === undefined ? (firmware ?? media) : firmware && media) !== undefined)
			return { firmware, media };
		throw new SlipwayError("E_USAGE", `--only ${word} names no combination.`, {
			next: `Give one of ${[...FIRMWARE, ...MEDIA].join(", ")}, or both with a slash, such as bios/cd.`,
		});
	});
	return (c) => wanted.some((one) => (one.firmware ?? c.firmware) === c.firmware && (one.media ?? c.media) === c.media);
}
