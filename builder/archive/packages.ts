import { type Place, SlipwayError } from "../../bundle/errors.ts";
import { kernelsOf } from "../profile/fit.ts";
import type { Base, Profile } from "../profile/schema.ts";

type Arch = Profile["arch"];

/** What attaching a root to Ubuntu Pro needs; the client is purged again when it is done. */
export const PRO_TOOLS = ["apt", "ca-certificates", "ubuntu-pro-client"];

/**
 * Packages that the root image is asked to hold (what they depend on comes by itself), sorted. Packages that only an Ubuntu Pro
 * token can fetch are not among them: see proPackages.
 */
export function rootPackages(base: Base, profile: Profile, overlayPackages: readonly string[] = []): string[] {
	const fips = profile.fips && base.fips !== null && !base.fips.proToken ? base.fips.packages : [];
	// With a token the kernel is the vendor's too, and comes later.
	const kernel = proPackages(base, profile).length > 0 ? PRO_TOOLS : [kernelOf(base, profile).package];
	return unique([
		...base.packages,
		...base.node.libraries,
		...kernel,
		...fips,
		...firmwarePackages(base, profile).flatMap(({ packages }) => packages),
		...profile.packages,
		...overlayPackages,
	]);
}

/** Packages that come from the vendor's restricted archive with a token, kernel included. */
export function proPackages(base: Base, profile: Profile): string[] {
	if (!profile.fips || base.fips === null || !base.fips.proToken) return [];
	return unique([kernelOf(base, profile).package, ...base.fips.packages]);
}

/** What makes a root of the host's architecture one in which packages and an initrd for another can be made, sorted. */
export function workshopPackages(base: Base): string[] {
	return unique([...base.packages, "mmdebstrap", "passwd"]);
}

/** Packages whose files the boot stage takes; they are fetched and unpacked, never installed. */
export function bootPackages(base: Base, { arch, boot }: Pick<Profile, "arch" | "boot">): string[] {
	if (boot === "uki") return [base.uki![arch].package];
	return unique([...(base.secureBoot[arch]?.packages ?? []), ...(base.grub[arch] ?? [])]);
}

/** The kernel of the profile's flavour, which the profile was checked to have. */
export function kernelOf(base: Base, { arch, fips, kernel }: Profile): Base["kernel"][Arch][string] {
	return kernelsOf(base, fips)[arch][kernel.flavour]!;
}

/** The packages that the profile's firmware classes stand for, by class. */
export function firmwarePackages(base: Base, { firmware }: Profile): { class: string; packages: string[] }[] {
	return firmware.map((name) => ({ class: name, packages: base.firmware.classes[name]!.packages }));
}

function unique(names: readonly string[]): string[] {
	return [...new Set(names)].sort();
}

/**
 * Shim lets GRUB start signed kernels alone. Debian and Ubuntu name the others so, and that is found before anything is fetched; the
 * stage `boot` looks at the kernel itself. `place` says where a package is asked for. Errors: E_KERNEL_UNSIGNED.
 */
export function checkKernelSigned(
	boot: Profile["boot"],
	resolved: readonly string[],
	place: (name: string) => Place | undefined,
): void {
	const unsigned = resolved.find((name) => /^linux-image-(?:unsigned-.*|.*-unsigned)$/.test(name));
	if (boot === "uki" || unsigned === undefined) return;
	const at = place(unsigned);
	const message = `The package ${unsigned} holds a kernel without a signature.`;
	throw new SlipwayError("E_KERNEL_UNSIGNED", message, at === undefined ? {} : { at });
}
