import { copyFile, mkdir, mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import type { RegistryAccess } from "../packs/registry/access.ts";
import type { Run, RunOptions } from "./run.ts";

/** Two tries in all: what is down stays down, and a build must say so soon. */
const RETRIES = 1;
const TIMEOUT = "--command-timeout=30m";

/** Writes the raw bytes of a manifest to a file. `image` is host/path:tag or host/path@digest. Errors: see explain(). */
export async function inspectRaw(
	run: Run,
	image: string,
	file: string,
	access: RegistryAccess,
	options: RunOptions = {},
): Promise<void> {
	await skopeo(
		run,
		image,
		access,
		options,
		(flags) => ["inspect", "--raw", `--retry-times=${RETRIES}`, ...flags(""), `docker://${image}`],
		file,
	);
}

/**
 * Copies one image (no multi-arch index) into a folder of plain blobs: `manifest.json` and `<hex>` files, every byte as the
 * registry has it; tried again `retries` times where the registry does not answer. Errors: see explain().
 */
export async function copyToFolder(
	run: Run,
	image: string,
	folder: string,
	access: RegistryAccess,
	options: RunOptions = {},
	retries = RETRIES,
): Promise<void> {
	const argv = (flags: (prefix: string) => string[]) => [
		"copy",
		"--preserve-digests",
		`--retry-times=${retries}`,
		...flags("src-"),
		`docker://${image}`,
		`dir:${folder}`,
	];
	await skopeo(run, image, access, options, argv);
}

async function skopeo(
	run: Run,
	image: string,
	access: RegistryAccess,
	options: RunOptions,
	argv: (flags: (prefix: string) => string[]) => string[],
	stdoutFile?: string,
): Promise<void> {
	const work = await mkdtemp("/tmp/slipway-skopeo-");
	try {
		const certificates = path.join(work, "certificates");
		await mkdir(certificates);
		if (access.caFile !== undefined) await copyFile(access.caFile, path.join(certificates, "ca.crt"));
		const flags = (prefix: string) => [
			...(access.authFile === undefined
				? [`--${prefix}no-creds`]
				: [`--${prefix === "" ? "" : prefix}authfile=${access.authFile}`]),
			...(access.caFile === undefined ? [] : [`--${prefix}cert-dir=${certificates}`]),
		];
		const secrets = [...(options.secrets ?? []), ...access.secrets];
		await run("skopeo", [TIMEOUT, ...argv(flags)], {
			...options,
			secrets,
			...(stdoutFile === undefined ? {} : { stdoutFile }),
		});
	} catch (error) {
		throw explain(error, image);
	} finally {
		await rm(work, { recursive: true, force: true });
	}
}

/** E_REGISTRY_AUTH, E_REGISTRY_UNREACHABLE, E_PACK when the image is not there; any other failure as it is. */
function explain(error: unknown, image: string): unknown {
	if (!(error instanceof SlipwayError) || error.code !== "E_TOOL_FAILED") return error;
	const last = error.message.trim().split("\n").at(-1) ?? "";
	const cause = last.replace(/^time="[^"]*" level=\w+ msg=/, "");
	if (/unauthorized|authentication required|denied|invalid username\/password|\b40[13]\b/i.test(cause)) {
		return new SlipwayError("E_REGISTRY_AUTH", `The registry refused to give ${image}: ${cause}`);
	}
	if (/manifest unknown|name unknown|not found|\b404\b/i.test(cause)) {
		return new SlipwayError("E_PACK", `The registry has no ${image}: ${cause}`);
	}
	if (/x509|certificate|tls|dial tcp|connection|no such host|timeout|EOF|gave HTTP response/i.test(cause)) {
		return new SlipwayError("E_REGISTRY_UNREACHABLE", `The registry of ${image} cannot be reached: ${cause}`);
	}
	return error;
}
