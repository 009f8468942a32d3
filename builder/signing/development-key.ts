import { generateKeyPairSync, randomBytes } from "node:crypto";
import { chmod, link, mkdir, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { DEVELOPMENT_MARK } from "../../bundle/trust.ts";
import { giveToCaller } from "./caller.ts";

/**
 * Path of the project's development key, which is made on first use: ECDSA P-256 in `.keys/`, readable by its owner only. Two
 * builds that make it at once agree on one.
 */
export async function developmentKey(root: string): Promise<string> {
	const folder = path.join(root, ".keys");
	const file = path.join(folder, "development.pem");
	if (await isFile(file)) {
		await chmod(file, 0o600);
		return file;
	}
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
	return file;
}

async function isFile(file: string): Promise<boolean> {
	return stat(file).then(
		(found) => found.isFile(),
		() => false,
	);
}
