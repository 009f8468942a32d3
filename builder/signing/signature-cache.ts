import { randomBytes } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";

/** Signatures of one key by the digest signed. ECDSA signatures are random, so the first one made is the one for good. */
export class SignatureCache {
	readonly #folder: string;

	constructor(folder: string) {
		this.#folder = folder;
	}

	/** The signature that counts for a digest; one that is not well-formed is removed. */
	async find(digest: string, isWhole: (signature: Buffer) => boolean): Promise<Buffer | undefined> {
		const file = path.join(this.#folder, digest);
		const signature = await readFile(file).catch(() => undefined);
		if (signature === undefined || isWhole(signature)) return signature;
		await rm(file);
		return undefined;
	}

	/** Keeps a signature, and returns the one that counts: another process may have been first. */
	async keep(digest: string, signature: Buffer): Promise<Buffer> {
		await mkdir(this.#folder, { recursive: true });
		const file = path.join(this.#folder, digest);
		const temporary = `${file}.${randomBytes(6).toString("hex")}`;
		await writeFile(temporary, signature, { flush: true });
		try {
			await link(temporary, file);
			return signature;
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
			return readFile(file);
		} finally {
			await rm(temporary, { force: true });
		}
	}
}
