import type { Base, Profile } from "../profile/schema.ts";
import { firmwarePackages } from "./packages.ts";

export interface FirmwareCost {
	/** Installed size of each package in KiB, without what it depends on; null: the archive has not been asked yet. */
	readonly classes: readonly { readonly class: string; readonly packages: Readonly<Record<string, number | null>> }[];
	/** Of all together, each package once. */
	readonly totalKiB: number | null;
}

/** What the profile's firmware classes stand for on its base, and what they cost by the archive's own word. Pure. */
export function firmwareCost(base: Base, profile: Profile, sizes: Readonly<Record<string, number>> = {}): FirmwareCost {
	const classes = firmwarePackages(base, profile).map((one) => ({
		class: one.class,
		packages: Object.fromEntries(one.packages.map((name) => [name, sizes[name] ?? null])),
	}));
	const all = Object.assign({}, ...classes.map(({ packages }) => packages)) as Record<string, number | null>;
	const known = Object.values(all).filter((size) => size !== null);
	const isKnown = known.length === Object.keys(all).length;
	return { classes, totalKiB: isKnown ? known.reduce((sum, size) => sum + size, 0) : null };
}

/** The same in lines for a person; none without firmware. */
export function firmwareLines({ classes, totalKiB }: FirmwareCost): string[] {
	if (classes.length === 0) return [];
	const total = totalKiB === null ? "the archive has not been asked what it costs" : `${sizeText(totalKiB)} installed`;
	return [
		`Firmware: ${total}`,
		...classes.map(({ class: name, packages }) => {
			const list = Object.entries(packages).map(([package_, size]) =>
				size === null ? package_ : `${package_} (${sizeText(size)})`,
			);
			return `  ${name}: ${list.join(", ")}`;
		}),
	];
}

function sizeText(kib: number): string {
	return kib < 1024 ? `${kib} KiB` : `${(kib / 1024).toFixed(1)} MiB`;
}
