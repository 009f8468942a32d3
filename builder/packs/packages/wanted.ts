import type { Base } from "../../profile/schema.ts";
import type { PackDefinition, PackOf } from "../definition.ts";

/** Brings the folders, the links of a merged /usr and os-release, by which scanners know the distribution. */
const ALWAYS = "base-files";
/** Only to prove FIPS with; its files never come into an image. */
export const OPENSSL_PACKAGE = "openssl";

/** Packages that the images of a bundle are made from, besides what they depend on; none: the archive need not be asked. */
export function archivePackages(packs: readonly PackDefinition[], base: Base, fips: boolean): string[] {
	const images = packs.filter((pack) => pack.source === "packages");
	if (images.length === 0) return [];
	const proof = fips ? [OPENSSL_PACKAGE] : [];
	return [
		...new Set([
			...images.flatMap((pack) => imagePackages(pack, base, fips)),
			...images.flatMap((p) => p.keep),
			...proof,
		]),
	].sort();
}

/** Packages whose files an image must hold. */
export function imagePackages(pack: PackOf<"packages">, base: Base, fips: boolean): string[] {
	const provider = fips && base.fips !== null ? [base.fips.provider] : [];
	return [...new Set([ALWAYS, ...pack.packages, ...(pack.shell ? ["dash"] : []), ...provider])].sort();
}
