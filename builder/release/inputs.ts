import { readFile } from "node:fs/promises";
import { z } from "zod";
import { SlipwayError } from "../../bundle/errors.ts";
import { loadPublicKey } from "../../bundle/keys.ts";
import { DEVELOPMENT_MARK } from "../../bundle/role.ts";
import { archiveResolve } from "../archive/answer.ts";
import { hostArch } from "../tools/host-arch.ts";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/**
 * `X.inputs.json`: what a build needs besides the project's files to give the same bytes again, elsewhere and without the
 * private key. It holds no secret.
 */
export const inputsSchema = z.strictObject({
	format: z.literal(1),
	profile: z.string(),
	base: z.string(),
	/** With `-dev.<epoch>` for a development key. */
	version: z.string(),
	/** SOURCE_DATE_EPOCH, seconds. */
	epoch: z.int().min(0),
	/** SPKI in PEM. */
	publicKey: z.string(),
	development: z.boolean(),
	/** Architecture of the build host; not there in files of older builds. */
	host: z.enum(["amd64", "arm64"]).optional(),
	/** Versions of the build host's programs that write what is signed. */
	tools: z.record(z.string(), z.string()),
	/** The root image's package set. */
	resolve: archiveResolve,
	/** That of the workshop, when it was built for another architecture than the host's. */
	workshop: archiveResolve.nullable().default(null),
	/** Package set of each bundle that is made from packages, by the bundle's name. */
	content: z.record(z.string(), archiveResolve),
	/** Base64, by the SHA-256 of what is signed. */
	signatures: z.record(sha256, z.base64()),
});
export type Inputs = z.infer<typeof inputsSchema>;

/**
 * Reads an inputs file for a build of `profile` on `base`.
 * Errors: E_INPUTS when it is not one, is for another build or a host of another architecture, or marks a key otherwise than the
 * key itself; E_KEY_WEAK.
 */
export async function loadInputs(file: string, profile: string, base: string, host = hostArch()): Promise<Inputs> {
	const text = await readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
		throw new SlipwayError("E_INPUTS", `${file} cannot be read (${cause.code}).`, { next: "Correct the path.", cause });
	});
	const parsed = inputsSchema.safeParse(parseJson(text, file));
	if (!parsed.success) {
		const { path, message } = parsed.error.issues[0] as { path: PropertyKey[]; message: string };
		throw new SlipwayError(
			"E_INPUTS",
			`${file} is not an inputs file: ${path.map(String).join(".") || "it"}: ${message}.`,
		);
	}
	const inputs = parsed.data;
	if (inputs.profile !== profile || inputs.base !== base) {
		throw new SlipwayError(
			"E_INPUTS",
			`${file} is for ${inputs.profile} on ${inputs.base}, not for ${profile} on ${base}.`,
		);
	}
	if (inputs.host !== undefined && inputs.host !== host) {
		// Who installs packages of another architecture than its own does it in another way, down to single bytes.
		const message = `${file} is of a build on ${inputs.host}, and this host is ${host}.`;
		throw new SlipwayError("E_INPUTS", message, { next: `Build on a host of ${inputs.host}.` });
	}
	loadPublicKey(inputs.publicKey);
	if (inputs.development !== inputs.publicKey.startsWith(DEVELOPMENT_MARK)) {
		throw new SlipwayError(
			"E_INPUTS",
			`${file} and the public key in it do not agree on whether it is a development key.`,
		);
	}
	return inputs;
}

function parseJson(text: string, file: string): unknown {
	try {
		return JSON.parse(text);
	} catch (cause) {
		throw new SlipwayError("E_INPUTS", `${file} is not JSON.`, { cause });
	}
}
