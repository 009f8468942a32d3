import { SlipwayError } from "../../bundle/errors.ts";
import { formatBytes } from "../plan/space.ts";
import type { Disk } from "./disk.ts";
import type { Use } from "./uses.ts";

export interface Wish {
	/** Bytes of the ISO. */
	readonly size: number;
	/** Mount points that hold what must not be lost now, and why: the project, the ISO itself. */
	readonly precious: readonly { readonly point: string; readonly what: string }[];
	/** The person insists on a disk that is not made to be taken out. */
	readonly yesReally: boolean;
}

/** Containers bring dozens of mounts; nobody reads more than a few. */
const MAX_PLACES = 5;

/** What the running system itself lies on. */
const SYSTEM = /^\/(|boot|boot\/.*|efi|usr|var|home|etc)$/;

/**
 * Every reason not to write an ISO to a disk; none: it may be written. No switch lifts any of them but the last one.
 * Errors: E_DEVICE, each with what to do.
 */
export function refusals(disk: Disk, wish: Wish): SlipwayError[] {
	const { name } = disk;
	const refuse = (message: string, next?: string) =>
		new SlipwayError("E_DEVICE", message, next === undefined ? {} : { next });
	if (disk.partitionOf !== undefined) {
		const message = `${name} is a partition of ${disk.partitionOf}; an ISO brings its own partition table.`;
		return [refuse(message, `If everything on it may go, name the disk: /dev/${disk.partitionOf}`)];
	}
	if (disk.slaves.length > 0) return [refuse(`${name} is a layer over ${disk.slaves.join(", ")}, not a disk.`)];
	if (/^sr\d+$/.test(name)) return [refuse(`${name} is an optical drive.`, "Burn the ISO with a program for discs.")];
	if (disk.size === 0) return [refuse(`There is no medium in ${name}.`, "Insert one.")];
	const found = used(disk, wish, refuse);
	if (disk.readOnly) found.push(refuse(`${name} is write-protected.`, "Move its switch, or use another one."));
	if (disk.sectorSize !== 512) {
		const message = `${name} has sectors of ${disk.sectorSize} bytes; an ISO's partition table counts in 512.`;
		found.push(refuse(message, "Use a disk with 512-byte sectors, as sticks have."));
	}
	if (wish.size > disk.size) {
		const message = `The ISO has ${formatBytes(wish.size)}, ${name} only ${formatBytes(disk.size)}.`;
		found.push(refuse(message, "Use a larger one."));
	}
	// Nobody is told of --yes-really for the disk that the machine runs from.
	if (!disk.removable && !wish.yesReally && !isOfSystem(disk)) {
		const message = `${name} (${disk.transport}) is not removable: it looks like a disk of this machine.`;
		found.push(refuse(message, "If it is the right one all the same, add --yes-really."));
	}
	return found;
}

function isOfSystem({ uses }: Disk): boolean {
	return uses.some(isSystem);
}

function isSystem({ kind, where }: Use): boolean {
	return kind === "mount" && SYSTEM.test(where);
}

/** Reasons because something uses the disk now; uses of one kind are told together. */
function used(disk: Disk, wish: Wish, refuse: (message: string, next?: string) => SlipwayError): SlipwayError[] {
	const { name } = disk;
	const swaps = disk.uses.filter(({ kind }) => kind === "swap");
	const mounts = disk.uses.filter(({ kind }) => kind === "mount");
	const system = mounts.filter(isSystem);
	const precious = wish.precious.filter(({ point }) => mounts.some(({ where }) => where === point));
	const other = mounts.filter((use) => !system.includes(use));
	const found: SlipwayError[] = [];
	if (system.length > 0) {
		found.push(
			refuse(`${name} holds ${placesOf(system)} of this machine.`, "Name the stick, not a disk of this machine."),
		);
	} else if (precious.length > 0) {
		const what = precious.map((one) => `${one.what} (${one.point})`).join(" and ");
		found.push(refuse(`${name} holds ${what}.`, "Name another disk."));
	} else if (other.length > 0) {
		const next = `If what is on it may go, run: umount ${other.map(({ where }) => where).join(" ")}`;
		found.push(refuse(`${name} is mounted at ${placesOf(other)}.`, next));
	}
	if (swaps.length > 0) {
		const next = `Run: swapoff ${swaps.map(({ where }) => where).join(" ")}`;
		found.push(refuse(`${name} is used for swap: ${placesOf(swaps)}.`, next));
	}
	for (const { part, holder } of disk.holders) {
		const next = "Stop it first (vgchange -an, cryptsetup close, mdadm --stop, losetup -d), or name another disk.";
		found.push(refuse(`${holder} lies on ${part}.`, next));
	}
	if (disk.openIn.length > 0) {
		found.push(refuse(`${name} is open in ${disk.openIn.join(", ")}.`, "End what uses it, or name another disk."));
	}
	for (const part of disk.parts.filter(({ fileSystem }) => fileSystem === "zfs_member")) {
		const next = "Run zpool export, and zpool labelclear if its content may go, or name another disk.";
		found.push(refuse(`${part.name} belongs to a ZFS pool${part.label === "" ? "" : `, ${part.label}`}.`, next));
	}
	return found;
}

/** `/ (dm-0 on sda2 on sda), /boot (sda1 on sda)`: where, and how it leads to the disk. */
function placesOf(uses: readonly Use[]): string {
	const places = uses.map(({ where, chain }) => (chain.length > 1 ? `${where} (${chain.join(" on ")})` : where));
	const more = places.length - MAX_PLACES;
	return more > 0 ? `${places.slice(0, MAX_PLACES).join(", ")} and ${more} more places` : places.join(", ");
}
