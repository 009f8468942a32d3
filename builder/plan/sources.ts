import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, mkdir, open, readdir, readFile, readlink, rename } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";

/** What a stage's id says about one source: a digest of its bytes, or that it is not there. Keyed by path in the project. */
export type SourceDigests = Readonly<Record<string, string>>;

/** Below this, reading a file costs no more than looking it up. */
const MEMO_FROM = 256 * 1024;
/** A file written this shortly before it was hashed may be written again without its times showing it. */
const RACY_MS = 2000;

interface Known {
	readonly stamp: string;
	readonly sha256: string;
}

/**
 * Digests of source files, with a memory for large ones: a file whose inode, size and times are as they were when it was
 * last hashed is not read again. `save` writes the memory back.
 */
export class SourceHasher {
	readonly #root: string;
	readonly #memoFile: string;
	#memo: Map<string, Known> | undefined;
	#changed = false;

	constructor(root: string, cacheDir: string) {
		this.#root = root;
		this.#memoFile = path.join(cacheDir, "hashes.json");
	}

	/** Digests of all files under the given absolute paths. The executable bit counts, other modes, owners and times do not. */
	async digests(sources: readonly string[]): Promise<SourceDigests> {
		const found: [string, string][] = [];
		for (const source of [...sources].sort()) await this.#visit(source, found);
		return Object.fromEntries(found);
	}

	async save(): Promise<void> {
		if (!this.#changed || this.#memo === undefined) return;
		await mkdir(path.dirname(this.#memoFile), { recursive: true });
		const temporary = `${this.#memoFile}.${process.pid}`;
		const file = await open(temporary, "w");
		await file.writeFile(JSON.stringify(Object.fromEntries(this.#memo)));
		await file.close();
		await rename(temporary, this.#memoFile);
		this.#changed = false;
	}

	async #visit(file: string, found: [string, string][]): Promise<void> {
		// Relative, so that a second clone of the project elsewhere has the same ids.
		const name = path.relative(this.#root, file);
		const stat = await lstat(file, { bigint: true }).catch(() => undefined);
		if (stat === undefined) found.push([name, "absent"]);
		else if (stat.isSymbolicLink()) found.push([name, `link ${await readlink(file)}`]);
		else if (stat.isDirectory()) {
			for (const entry of (await readdir(file)).sort()) {
				if (!isLitter(name, entry)) await this.#visit(path.join(file, entry), found);
			}
		} else if (isNamedByDigest(file) && (await isFile(path.join(file, "../../../oci-layout")))) {
			// A blob of an OCI layout: who brings it in compares it with its name. It may be large, and is read there.
			found.push([name, `blob of ${stat.size} bytes`]);
		} else {
			const stamp = [stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(" ");
			const sha256 =
				stat.size < MEMO_FROM ? hashOf(await readFile(file)) : await this.#remembered(file, stamp, stat.mtimeMs);
			found.push([name, stat.mode & 0o111n ? `${sha256} x` : sha256]);
		}
	}

	async #remembered(file: string, stamp: string, mtimeMs: bigint): Promise<string> {
		this.#memo ??= new Map(
			await readFile(this.#memoFile, "utf8")
				.then((text) => Object.entries(JSON.parse(text) as Record<string, Known>))
				.catch(() => []),
		);
		const known = this.#memo.get(file);
		if (known?.stamp === stamp) return known.sha256;
		const sha256 = await hashFile(file);
		if (Date.now() - Number(mtimeMs) > RACY_MS) {
			this.#memo.set(file, { stamp, sha256 });
			this.#changed = true;
		}
		return sha256;
	}
}

function isNamedByDigest(file: string): boolean {
	return /\/blobs\/(sha256\/[0-9a-f]{64}|sha512\/[0-9a-f]{128})$/.test(file);
}

async function isFile(file: string): Promise<boolean> {
	return lstat(file).then(
		(stat) => stat.isFile(),
		() => false,
	);
}

/**
 * Beside code, tests and leftovers of editors do not change what a stage makes. Anywhere else, such as in an overlay, every
 * file is shipped.
 */
function isLitter(folder: string, name: string): boolean {
	return /^(builder|agent|bundle)(\/|$)/.test(folder) && /(\.test\.ts|~|\.swp)$/.test(name);
}

function hashOf(bytes: Buffer): string {
	return createHash("sha256").update(bytes).digest("hex");
}

/** For large files: not held in memory as a whole. */
async function hashFile(file: string): Promise<string> {
	const hash = createHash("sha256");
	await pipeline(createReadStream(file, { highWaterMark: 1024 * 1024 }), hash);
	return hash.digest("hex");
}
