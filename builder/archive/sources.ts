import { createHash } from "node:crypto";
import { access, readFile } from "node:fs/promises";
import { SlipwayError } from "../../bundle/errors.ts";
import type { Base } from "../profile/schema.ts";
import { mirrorAddress } from "../profile/words.ts";
import { refuseUserInfo } from "../tools/address.ts";

/**
 * The archive as mmdebstrap takes it after SUITE and TARGET: `deb` lines, or nothing, which means its own default for the
 * suite (that one knows the security archive too). `mirror`, in place of the base's, may hold two addresses, separated by a space: the
 * archive and, where the distribution keeps it apart, the security archive. With one address, suites that the set was resolved from (`resolved`) are
 * looked for there too: a folder made by `slipway mirror` has them all. Errors: E_USAGE for what is no address, or has a user name or
 * password in it.
 */
export function aptSources(
	base: Base,
	arch: "amd64" | "arm64",
	mirror: string | undefined,
	resolved: readonly { readonly suite: string }[] = [],
): string[] {
	for (const address of [mirror ?? "", ...Object.values(base.archive.mirrors)])
		refuseUserInfo(address, "An archive's address");
	if (mirror && !mirrorAddress.safeParse(mirror).success) {
		const next = "Give MIRROR= one or two addresses that begin with http:, https: or file:.";
		throw new SlipwayError("E_USAGE", `${JSON.stringify(mirror)} is no mirror's address.`, { next });
	}
	// A package of a `file:` archive stays where it is, and dpkg in the root cannot see that place.
	const [main, security] = (mirror ?? base.archive.mirrors[arch] ?? "")
		.replaceAll(/(?<=^|\s)file:/g, "copy:")
		.split(/\s+/)
		.filter((word) => word !== "");
	if (main === undefined) return [];
	const components = base.components.join(" ");
	const suites = ["", ...base.archive.pockets].map((pocket) => base.suite + pocket);
	// A snapshot is as old as it is meant to be.
	const words = (address: string) => (DATED.test(address) ? `[check-valid-until=no] ${address}` : address);
	const lines = (address: string, names: readonly string[]) =>
		names.map((suite) => `deb ${words(address)} ${suite} ${components}`);
	if (security !== undefined) return [...lines(main, suites), ...lines(security, [`${base.suite}-security`])];
	const more = resolved.map(({ suite }) => suite).filter((suite) => !suites.includes(suite));
	return [...lines(main, suites), ...lines(main, more)];
}

const SNAPSHOT_ID = /^\d{8}T\d{6}Z$/;
const DATED = /\/\d{8}T\d{6}Z(?:\/|$)/;

/**
 * The mirror of a build: that of a snapshot of the archive, if one is asked for (SNAPSHOT=20240301T030400Z), else the one given.
 * `{snapshot}` in the given mirror, else in the base's own address of snapshots, is where the id goes.
 * Errors: E_USAGE for an id of another form, and when nothing says where snapshots are.
 */
export function mirrorOf(base: Base, mirror: string | undefined, snapshot: string | undefined): string | undefined {
	if (snapshot === undefined) return mirror;
	if (!SNAPSHOT_ID.test(snapshot)) {
		throw new SlipwayError("E_USAGE", `SNAPSHOT=${snapshot} is no snapshot's id.`, {
			next: "Give the time in UTC, such as 20240301T030400Z.",
		});
	}
	const template = mirror ?? base.archive.snapshot;
	if (template?.includes("{snapshot}")) return template.replaceAll("{snapshot}", snapshot);
	const where = mirror === undefined ? `${base.title} names no archive of snapshots` : "MIRROR= names no place for it";
	throw new SlipwayError("E_USAGE", `SNAPSHOT= is set, and ${where}.`, {
		next: "Set MIRROR= to an archive of snapshots, with {snapshot} where the id goes.",
	});
}

/** The keyring to check the archive's signature with: the one given, else the first of the base's that this host has. Errors: E_KEYRING. */
export async function findKeyring(base: Base, keyring: string | undefined): Promise<string> {
	for (const file of keyring === undefined ? base.archive.keyrings : [keyring]) {
		if (
			await access(file).then(
				() => true,
				() => false,
			)
		)
			return file;
	}
	if (keyring !== undefined)
		throw new SlipwayError("E_KEYRING", `There is no keyring ${keyring}.`, {
			next: "Correct KEYRING=, or leave it out.",
		});
	const { keyrings, keyringPackage } = base.archive;
	throw new SlipwayError("E_KEYRING", `This host has no keyring for ${base.title}: none of ${keyrings.join(", ")}.`, {
		next: `Install ${keyringPackage} (docs/mirrors.md says how on a host that has no such package), set KEYRING= to the archive's keyring file, or use another base with BASE=.`,
	});
}

/**
 * SHA-256 of the keyring that findKeyring() gives: what an archive said under one keyring is nothing under another.
 * Errors: E_KEYRING, also for one that cannot be read.
 */
export async function keyringDigest(base: Base, keyring: string | undefined): Promise<string> {
	const file = await findKeyring(base, keyring);
	const bytes = await readFile(file).catch((cause: NodeJS.ErrnoException) => {
		throw new SlipwayError("E_KEYRING", `The keyring ${file} cannot be read (${cause.code}).`, { cause });
	});
	return createHash("sha256").update(bytes).digest("hex");
}
