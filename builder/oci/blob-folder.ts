import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { link, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { SlipwayError } from "../../bundle/errors.ts";

/** What a blob is known by before its bytes are seen. `digest` is `sha256:hex` or `sha512:hex`. */
export interface Expected {
	readonly digest: string;
	readonly size: number;
}

/**
 * The builder's content-addressed folder: `<dir>/<alg>/<hex>`. A blob is there whole or not at all (temporary file, then
 * rename), so a build that is killed leaves nothing that looks finished, and two builds may write the same blob at once.
 */
export class BlobFolder {
	readonly dir: string;

	constructor(dir: string) {
		this.dir = dir;
	}

	/** Path of a blob. Errors: E_DIGEST_FORMAT, so a digest from a file never becomes another path. */
	path(digest: string): string {
		const match = /^(sha256):([0-9a-f]{64})$|^(sha512):([0-9a-f]{128})$/.exec(digest);
		if (match === null) throw new SlipwayError("E_DIGEST_FORMAT", `${JSON.stringify(digest)} is not a digest.`);
		return path.join(this.dir, (match[1] ?? match[3])!, (match[2] ?? match[4])!);
	}

	/** True if the blob is there at that size. The bundle writer hashes every blob again when it reads it. */
	async has({ digest, size }: Expected): Promise<boolean> {
		const found = await stat(this.path(digest)).catch(() => undefined);
		return found?.isFile() === true && found.size === size;
	}

	async read(digest: string): Promise<Buffer> {
		return await readFile(this.path(digest));
	}

	async put(bytes: Uint8Array): Promise<Expected> {
		return await this.putStream([bytes]);
	}

	/** Copies a file in. Errors as `putStream`. */
	async putFile(file: string, expected?: Expected): Promise<Expected> {
		return await this.putStream(createReadStream(file, { highWaterMark: 1 << 20 }), expected);
	}

	/**
	 * Brings in a large file without reading it, as a second link where the file system can; `putFile` elsewhere. Its digest is
	 * believed until the bundle writer, which hashes every blob that it reads, has checked it: see `dropDamaged`.
	 * Errors: E_DIGEST_MISMATCH for another size, and those of `putFile`.
	 */
	async linkFile(file: string, expected: Expected): Promise<void> {
		if (await this.has(expected)) return;
		const { size } = await stat(file);
		if (size !== expected.size) {
			throw new SlipwayError("E_DIGEST_MISMATCH", `Blob ${expected.digest} has ${size} bytes, not ${expected.size}.`);
		}
		const target = this.path(expected.digest);
		await mkdir(path.dirname(target), { recursive: true });
		const temporary = path.join(this.dir, `.${randomUUID()}.tmp`);
		try {
			await link(file, temporary);
		} catch {
			await this.putFile(file, expected);
			return;
		}
		await rename(temporary, target);
	}

	/** Removes those of the blobs whose bytes are not what their digests say. */
	async dropDamaged(digests: Iterable<string>): Promise<void> {
		for (const digest of digests) {
			const file = this.path(digest);
			const hash = createHash(path.basename(path.dirname(file)));
			const whole = await pipeline(createReadStream(file), hash).then(
				() => true,
				() => false,
			);
			if (!whole || hash.digest("hex") !== path.basename(file)) await rm(file, { force: true });
		}
	}

	/**
	 * Writes what the stream yields while hashing it. With `expected`, bytes of any other digest or size are refused and
	 * nothing stays behind: E_DIGEST_MISMATCH, E_SIZE_EXCEEDED. Without, the digest is SHA-256.
	 */
	async putStream(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, expected?: Expected): Promise<Expected> {
		if (expected !== undefined && (await this.has(expected))) return expected;
		const algorithm = expected === undefined ? "sha256" : path.basename(path.dirname(this.path(expected.digest)));
		await mkdir(path.join(this.dir, algorithm), { recursive: true });
		const temporary = path.join(this.dir, `.${randomUUID()}.tmp`);
		const file = await open(temporary, "wx", 0o644);
		try {
			const hash = createHash(algorithm);
			let size = 0;
			for await (const chunk of source) {
				size += chunk.length;
				if (expected !== undefined && size > expected.size) {
					throw new SlipwayError("E_SIZE_EXCEEDED", `Blob ${expected.digest} is larger than ${expected.size} bytes.`);
				}
				const written = file.writeFile(chunk);
				hash.update(chunk); // while the chunk is on its way to the disk
				await written;
			}
			const digest = `${algorithm}:${hash.digest("hex")}`;
			if (expected !== undefined && (digest !== expected.digest || size !== expected.size)) {
				const got = `has digest ${digest} and ${size} bytes, not ${expected.size}`;
				throw new SlipwayError("E_DIGEST_MISMATCH", `Blob ${expected.digest} ${got}.`);
			}
			await file.close();
			await rename(temporary, this.path(digest));
			return { digest, size };
		} catch (error) {
			await file.close();
			await rm(temporary, { force: true });
			throw error;
		}
	}
}
