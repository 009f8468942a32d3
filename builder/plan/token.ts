import { readFile } from "node:fs/promises";
import { SlipwayError } from "../../bundle/errors.ts";
import { RefusedToken } from "../tools/mmdebstrap.ts";
import type { Checked } from "./prepare.ts";
import { readSecret } from "./secrets.ts";

type Pro = Pick<Checked, "profile" | "base" | "proPackages">;

const NEXT =
	"Set PRO_TOKEN_FILE= to a file that holds an Ubuntu Pro token, or build the laboratory base, which is not certified, with BASE=debian-13.";

/** Errors: E_PRO_TOKEN when the base's FIPS packages need a token, and none is given or its file holds none. */
export async function checkToken({ profile, base, proPackages: pro }: Pro, env: NodeJS.ProcessEnv): Promise<void> {
	if (pro.length === 0) return;
	const file = env.PRO_TOKEN_FILE ?? "";
	const wrong = file === "" ? "there is no token" : await wrongWith(file);
	if (wrong === undefined) return;
	const message = `${profile.name} on ${base.title} takes ${pro.join(", ")} from Ubuntu Pro, and ${wrong}.`;
	throw new SlipwayError("E_PRO_TOKEN", message, { next: NEXT });
}

async function wrongWith(tokenFile: string): Promise<string | undefined> {
	try {
		const token = (await readFile(tokenFile, "utf8")).trim();
		if (token === "") return `${tokenFile} is empty`;
		return /^[\x21-\x7e]+$/.test(token) ? undefined : `${tokenFile} holds more than one word`;
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		// The build itself runs as root, who may read it.
		if (code === "EACCES" && process.geteuid?.() !== 0) return undefined;
		return `${tokenFile} cannot be read (${code})`;
	}
}

/**
 * Asks the vendor's service whether it knows the token, which attaches no machine and changes nothing there: a token that is refused is
 * told before any archive is asked. Whether its subscription has the packages shows later. What is returned, if anything, is for the user:
 * why that could not be asked. Errors: E_PRO_TOKEN.
 */
export async function askToken(
	{ base, proPackages }: Pro,
	env: NodeJS.ProcessEnv,
	signal: AbortSignal,
): Promise<string | undefined> {
	const service = base.fips?.contracts ?? null;
	if (proPackages.length === 0 || service === null) return undefined;
	const token = await readSecret("proToken", env, () => undefined);
	const unknown = (why: string) => `${service} could not be asked whether the token is good (${why}).`;
	try {
		const { status } = await fetch(new URL("/v1/contract", service), {
			headers: { authorization: `Bearer ${token?.value}` },
			// The token goes nowhere else.
			redirect: "error",
			signal: AbortSignal.any([signal, AbortSignal.timeout(15_000)]),
		});
		if (status === 401 || status === 403)
			throw new RefusedToken(`Ubuntu Pro refused the token (${service}: ${status}).`);
		return status === 200 ? undefined : unknown(`it answered ${status}`);
	} catch (error) {
		if (error instanceof SlipwayError || signal.aborted) throw error;
		const { cause, message } = error as Error & { cause?: { code?: string; message: string } };
		return unknown(cause?.code ?? cause?.message ?? message);
	}
}
