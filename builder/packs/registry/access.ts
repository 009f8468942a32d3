import { readFile } from "node:fs/promises";
import { SlipwayError } from "../../../bundle/errors.ts";
import { type Credentials, entryFor, parseAuthFile } from "../../../bundle/registry-auth.ts";

/** How registries are reached: one pull-secret file for all, and a certificate authority of one's own. */
export interface RegistryAccess {
	/** docker's config.json format, as `podman login --authfile` or `docker login` write it. */
	readonly authFile: string | undefined;
	/** PEM file that is trusted besides the host's authorities. */
	readonly caFile: string | undefined;
	/** Every text in the pull-secret file that must appear in no log and no message. */
	readonly secrets: readonly string[];
}

/**
 * Takes REGISTRY_AUTH_FILE and REGISTRY_CA from the environment.
 * Errors: E_REGISTRY_AUTH when the file cannot be used, E_REGISTRY_UNREACHABLE for the CA. No message holds what is in them.
 */
export async function registryAccess(env: NodeJS.ProcessEnv): Promise<RegistryAccess> {
	const { REGISTRY_AUTH_FILE: auth, REGISTRY_CA: ca } = env;
	const given = (value: string | undefined) => (value === undefined || value === "" ? undefined : value);
	const access = { authFile: given(auth), caFile: given(ca) };
	if (access.caFile !== undefined) {
		const pem = await readFile(access.caFile, "utf8").catch(() => "");
		if (!pem.includes("-----BEGIN CERTIFICATE-----")) {
			throw new SlipwayError(
				"E_REGISTRY_UNREACHABLE",
				`REGISTRY_CA names ${access.caFile}, which is no PEM certificate.`,
			);
		}
	}
	const all = Object.values(await readAuths(access.authFile));
	const secrets = all.flatMap((entry) => [entry.encoded, entry.password]).filter((text) => text.length > 0);
	return { ...access, secrets };
}

/** The credentials for a registry's host, if the file has any. */
export async function credentialsFor(access: RegistryAccess, host: string): Promise<Credentials | undefined> {
	return entryFor(await readAuths(access.authFile), host);
}

async function readAuths(file: string | undefined): Promise<Record<string, Credentials & { encoded: string }>> {
	if (file === undefined) return {};
	const auths = parseAuthFile(await readFile(file, "utf8").catch(() => ""));
	if (auths !== undefined) return auths;
	throw new SlipwayError(
		"E_REGISTRY_AUTH",
		`REGISTRY_AUTH_FILE names ${file}, which is no pull-secret file (docker's config.json).`,
	);
}
