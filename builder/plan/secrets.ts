import { readFile } from "node:fs/promises";
import { SlipwayError } from "../../bundle/errors.ts";

/** Secrets by the environment variable that names their file. A stage gets those that it declares, and no other. */
export const SECRET_FILES = {
	proToken: "PRO_TOKEN_FILE",
	registryAuth: "REGISTRY_AUTH_FILE",
	ukiKey: "UKI_KEY",
} as const;
export type SecretName = keyof typeof SECRET_FILES;

export interface Secret {
	/** Path of the file, for programs that read it themselves. */
	readonly file: string;
	/** Its text without white space around it. */
	readonly value: string;
}

/**
 * Reads a secret's file; undefined when its variable is not set. `mask` gets every string that must appear in no log.
 * Errors: E_IO when the file cannot be read.
 */
export async function readSecret(
	name: SecretName,
	env: NodeJS.ProcessEnv,
	mask: (text: string) => void,
): Promise<Secret | undefined> {
	const file = env[SECRET_FILES[name]];
	if (file === undefined || file === "") return undefined;
	const value = await readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
		throw new SlipwayError("E_IO", `${SECRET_FILES[name]}: ${file} cannot be read (${cause.code}).`, {
			next: "Correct the path.",
			cause,
		});
	});
	for (const text of secretsIn(value)) mask(text);
	return { file, value: value.trim() };
}

/** The whole text, and for a registry's auth file each credential in it, encoded and plain. */
function secretsIn(text: string): string[] {
	try {
		const { auths = {} } = JSON.parse(text) as { auths?: Record<string, Record<string, string>> };
		return Object.values(auths).flatMap((entry) => {
			const plain = Buffer.from(entry.auth ?? "", "base64").toString();
			return [...Object.values(entry), plain, plain.slice(plain.indexOf(":") + 1)].filter((word) => word.length > 3);
		});
	} catch {
		return [text.trim(), ...text.split(/\s+/).filter((word) => word.length > 7)];
	}
}
