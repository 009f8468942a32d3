import { copyFile, readFile } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../../bundle/errors.ts";
import type { FileTree } from "../../oci/file-tree.ts";
import { materialize } from "../../oci/materialize.ts";
import { chroot } from "../../tools/chroot.ts";
import { emulatorFor } from "../../tools/emulator.ts";
import type { Arch } from "../../tools/host-arch.ts";
import type { Run, RunOptions } from "../../tools/run.ts";
import { opensslFolder, put } from "./compose.ts";

const OPENSSL = "/usr/bin/openssl";
const CONFIG = "/etc/ssl/openssl.cnf";
const MODULE_CONFIG = "/etc/ssl/fipsmodule.cnf";

/** `nodejs_conf` as well, because Node.js reads that section and no other. */
const SWITCHED_ON = `# Written by slipway: every program of this image gets its cryptography from the FIPS provider.
openssl_conf = openssl_init
nodejs_conf = openssl_init
.include ${MODULE_CONFIG}

[openssl_init]
providers = provider_sect
alg_section = algorithm_sect

[provider_sect]
fips = fips_sect
base = base_sect

[base_sect]
activate = 1

[algorithm_sect]
default_properties = fips=yes
`;

export interface FipsRequest {
	readonly name: string;
	readonly arch: Arch;
	readonly tree: FileTree;
	/** The distribution's own `openssl` program, of the same release as the image's libcrypto: a file of ours. */
	readonly openssl: string;
	readonly work: string;
	readonly env: Readonly<Record<string, string>>;
}

/**
 * Switches the FIPS provider on in an image and proves it with the image's own loader, libcrypto, provider and
 * configuration: the provider's self-tests pass, only `fips` and `base` are active, SHA-256 works, MD5 is refused, and MD5
 * works again without the configuration, so the refusal comes from it. Needs root. Errors: E_PACK, E_EMULATOR, E_NOT_ROOT.
 */
export async function enableFips(run: Run, request: FipsRequest, options: RunOptions = {}): Promise<void> {
	const { name, tree, work } = request;
	const fail = (why: string) => new SlipwayError("E_PACK", `The image ${name} is not fit for FIPS: ${why}.`);
	const variables = Object.keys(request.env).filter((key) => key.startsWith("OPENSSL_"));
	if (variables.length > 0) throw fail(`its environment sets ${variables.join(", ")}`);
	if ((await opensslFolder(tree)) === undefined) throw fail("it has no libcrypto, so no provider can be proved");
	const module = tree.entries().find(([file]) => file.endsWith("/ossl-modules/fips.so"))?.[0];
	if (module === undefined) throw fail("it has no fips.so");
	if (process.getuid?.() !== 0) throw new SlipwayError("E_NOT_ROOT", "The FIPS check of an image runs in a chroot.");

	put(tree, CONFIG, SWITCHED_ON);
	put(tree, MODULE_CONFIG, "");
	const root = path.join(work, "fips-root");
	await materialize(tree, root);
	await copyFile(request.openssl, path.join(root, OPENSSL));
	const emulator = await emulatorFor(request.arch);
	const openssl = async (args: readonly string[], config?: string) => {
		const env = { ...options.env, ...request.env, ...(config === undefined ? {} : { OPENSSL_CONF: config }) };
		return await chroot(run, root, [OPENSSL, ...args], { ...options, env, emulator, accept: [0, 1] });
	};
	const install = ["fipsinstall", "-module", `/${module}`, "-out", MODULE_CONFIG];
	const installed = await openssl(install, "/dev/null").catch(crashed);
	if (installed.exitCode !== 0) throw fail("the provider's self-tests fail");
	put(tree, MODULE_CONFIG, await readFile(path.join(root, MODULE_CONFIG)));

	const providers = (await openssl(["list", "-providers"])).stdout;
	const active = [...providers.matchAll(/^ {2}(\S+)$/gm)].map((match) => match[1]).sort();
	if (active.join(" ") !== "base fips")
		throw fail(`the active providers are ${active.join(", ") || "none"}, not base and fips`);
	const digest = async (algorithm: string, config?: string) =>
		(await openssl(["dgst", `-${algorithm}`, "/etc/passwd"], config)).exitCode === 0;
	if (!(await digest("sha256"))) throw fail("SHA-256 does not work");
	if (await digest("md5")) throw fail("MD5 is not refused");
	if (!(await digest("md5", "/dev/null")))
		throw fail("MD5 is refused even without the configuration, so the check proves nothing");
}

/** A program that crashes has failed its test. */
function crashed(error: unknown): { exitCode: number } {
	if (error instanceof SlipwayError && error.code === "E_TOOL_FAILED") return { exitCode: 255 };
	throw error;
}
