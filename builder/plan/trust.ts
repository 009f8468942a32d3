import { readFile } from "node:fs/promises";
import { type TrustFile, trustFile } from "../../bundle/appliance.ts";
import type { Role } from "../../bundle/dsse.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { canSign, makeRole, parseRoleKey } from "../../bundle/role.ts";
import { readStatementFolder, statementFile } from "../../bundle/statement-folder.ts";
import { applyAll, refuseSharedKeys } from "../../bundle/statements.ts";
import type { Trust } from "../../bundle/trust.ts";
import type { Profile } from "../profile/schema.ts";
import type { Signer } from "../signing/signer.ts";
import { displayPath } from "../yaml/load.ts";

/** The trust store of the root image, which is also what its own content must satisfy. */
export interface BuildTrust {
	readonly file: TrustFile;
	/** Public keys by the names that `file` gives them. */
	readonly pems: Readonly<Record<string, string>>;
	/** The chain of statements, by file name, in base64: for the root image and for the medium. */
	readonly statements: Readonly<Record<string, string>>;
}

/**
 * Gathers what the profile says about trust. The key that signs this build must be able to sign for the image that it builds,
 * statements included: a box that refuses its own medium would be found out on site only. Without release keys in the
 * profile that key is the only one; a development key is taken beside those of the profile, and marked.
 * Errors: E_PROFILE_VALUE (a file cannot be read), E_KEY_WEAK, E_CONFIG, E_STATEMENT, E_KEY_UNKNOWN, E_THRESHOLD.
 */
export async function buildTrust(profile: Pick<Profile, "name" | "trust">, signer: Signer): Promise<BuildTrust> {
	const { release, root, statements: folder } = profile.trust;
	const listed = await Promise.all((release?.keys ?? []).map(read));
	const own = listed.length === 0 || signer.development ? [signer.publicKeyPem] : [];
	const roles = {
		release: { threshold: release?.threshold ?? 1, keys: named("release", [...own, ...listed]) },
		...(root && { root: { threshold: root.threshold, keys: named("root", await Promise.all(root.keys.map(read))) } }),
	};
	const pems = { ...roles.release.keys, ...roles.root?.keys };
	const { release: signing, root: roots } = roles;
	const file = trustFile.parse({
		format: 1,
		release: {
			threshold: signing.threshold,
			// Said in the PEM too; whoever reads only this file must not be told otherwise.
			keys: Object.entries(signing.keys).map(([file, pem]) => ({
				file,
				development: parseRoleKey(pem).development,
			})),
		},
		...(roots && { root: { threshold: roots.threshold, keys: Object.keys(roots.keys).map((file) => ({ file })) } }),
	});
	const chain = folder === null ? [] : await readStatementFolder(folder);
	const baked = trustOf(roles, profile.name);
	checkSigner(applyAll(baked, chain).release, signer, profile.name);
	const statements = chain.map(({ statement, bytes }) => [statementFile(statement.number), bytes.toString("base64")]);
	return { file, pems, statements: Object.fromEntries(statements.sort()) };
}

type Roles = Record<"release", { threshold: number; keys: Record<string, string> }> &
	Partial<Record<"root", { threshold: number; keys: Record<string, string> }>>;

function named(role: string, pems: readonly string[]): Record<string, string> {
	return Object.fromEntries(pems.map((pem, i) => [i === 0 ? `${role}.pem` : `${role}-${i + 1}.pem`, pem]));
}

function trustOf(roles: Roles, name: string): Trust {
	const none = { denyKeys: new Set<string>(), denyIndexes: new Set<string>() };
	const roleOf = ({ threshold, keys }: Roles["release"]) =>
		makeRole(threshold, Object.values(keys).map(parseRoleKey), none, `\`trust\` of ${name}`, "E_CONFIG");
	const trust = { release: roleOf(roles.release), ...(roles.root && { root: roleOf(roles.root) }), statements: [] };
	refuseSharedKeys(trust, `\`trust\` of ${name}`, "E_CONFIG");
	return trust;
}

function checkSigner(release: Role, { keyId }: Signer, name: string): void {
	if (!release.keys.has(keyId) || release.denyKeys.has(keyId) || !canSign(release)) {
		throw new SlipwayError("E_KEY_UNKNOWN", `The image of ${name} would not trust the key ${keyId} that signs it.`, {
			next: "Set SIGNING_KEY= to a key of the profile's `trust.release`, or the one that its statements rotated to.",
		});
	}
	if (release.threshold === 1) return;
	throw new SlipwayError(
		"E_THRESHOLD",
		`The image of ${name} would ask for ${release.threshold} signatures; a build makes one.`,
		{
			next: "Use a threshold of 1 on appliances; hosts with a trust store of their own may ask for more (docs/trust.md).",
		},
	);
}

function read(file: string): Promise<string> {
	return readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
		throw new SlipwayError("E_PROFILE_VALUE", `The key ${displayPath(file)} cannot be read (${cause.code}).`, {
			cause,
		});
	});
}
