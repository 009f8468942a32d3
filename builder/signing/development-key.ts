import { generateKeyPairSync, randomBytes } from "node:crypto";
import { chmod, link, mkdir, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { DEVELOPMENT_MARK } from "../../bundle/role.ts";
import { giveToCaller } from "./caller.ts";

/** Whether the project has its development key; another user's, which cannot be looked at, counts. */
export async function hasDevelopmentKey(root: string): Promise<boolean> {
	return isFile(path.join(root, ".keys", "development.pem")).catch(() => true);
}

/**
 * Path of the project's development key, which is made on first use: ECDSA P-256 in `.keys/`, readable by its owner only. Two
 * builds that make it at once agree on one. Errors: E_KEY_MISSING when it is another user's.
 */
export async function developmentKey(root: string): Promise<string> {
	const folder = path.join(root, ".keys");
	const file = path.join(folder, "development.pem");
	try {
		if (!(await isFile(file))) await makeKey(folder, file);
		await chmod(file, 0o600);
		return file;
	} catch (error) {
		if (!["EACCES", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
		throw new SlipwayError("E_KEY_MISSING", `The development key in ${folder} belongs to another user.`, {
			next: "Run this with sudo, or set SIGNING_KEY=.",
			cause: error,
		});
	}
}

async function makeKey(folder: string, file: string): Promise<void> {
	await mkdir(folder, { recursive: true, mode: 0o700 });
	await chmod(folder, 0o700);
	const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
	const pem = privateKey.export({ type: "pkcs8", format: "pem" });
	const temporary = path.join(folder, `.new-${randomBytes(6).toString("hex")}`);
	try {
		await writeFile(temporary, `${DEVELOPMENT_MARK}: not for production\n${pem}`, {
			mode: 0o600,
			flag: "wx",
			flush: true,
		});
		// A link never replaces a key that is there already, as a rename would.
		await link(temporary, file).catch((error: NodeJS.ErrnoException) => {
			if (error.code !== "EEXIST") throw error;
		});
	} finally {
		await rm(temporary, { force: true });
	}
	await giveToCaller(folder, file);
}

/** Throws when the folder may not be looked into: that is not the same as an absent file. */
async function isFile(file: string): Promise<boolean> {
	return stat(file).then(
		(found) => found.isFile(),
		(error: NodeJS.ErrnoException) => {
			if (error.code === "ENOENT") return false;
			throw error;
		},
	);
}
