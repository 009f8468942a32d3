import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open, stat } from "node:fs/promises";
import { basename, join, normalize } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import type { IsoRelease } from "../../bundle/index-schema.ts";
import type { Trust } from "../../bundle/trust.ts";
import { verifyBundle } from "../../bundle/verify.ts";
import type { State } from "../status/state.ts";
import { bundleFiles } from "./candidates.ts";

const CHUNK = 1 << 20;

/**
 * The boot menu's "check the medium": reads every file that the ISO release lists, and every bundle by its own signatures.
 * Errors: E_DIGEST_MISMATCH, naming all that is damaged.
 */
export async function checkMedium(content: string, trust: Trust, medium: IsoRelease, state: State): Promise<void> {
	const bad = await checkAll([...filesOn(join(content, ".."), medium), ...(await bundlesIn(content, trust))], state);
	if (bad.length === 0) return;
	throw new SlipwayError("E_DIGEST_MISMATCH", `The medium is damaged: ${bad.join(", ")}.`, {
		next: "Write the ISO to another medium.",
	});
}

/** Something to read. `isGood` tells how many of its bytes it has read. */
interface Part {
	readonly path: string;
	readonly size: number;
	isGood(onBytes: (done: number) => void): Promise<boolean>;
}

function filesOn(root: string, { files }: IsoRelease): Part[] {
	return files.map((file) => ({ ...file, isGood: (onBytes) => isIntact(root, file, onBytes) }));
}

async function bundlesIn(content: string, trust: Trust): Promise<Part[]> {
	const files = await bundleFiles(content);
	return Promise.all(
		files.map(async (file) => ({
			path: `${basename(content)}/${file}`,
			size: (await stat(join(content, file))).size,
			isGood: (onProgress) => verifyBundle(join(content, file), trust, { onProgress }).then(() => true),
		})),
	);
}

/** Reads all parts and tells each percent of them. Gives the paths of those that are damaged or missing. */
async function checkAll(parts: readonly Part[], state: State): Promise<string[]> {
	const bad: string[] = [];
	const bytesTotal = parts.reduce((sum, { size }) => sum + size, 0);
	let before = 0;
	const tell = (done: number, bytesDone: number) =>
		state.update({ mediumCheck: { done, total: parts.length, bytesDone, bytesTotal, bad: [...bad] } });
	for (const [i, part] of parts.entries()) {
		let told = before;
		tell(i, before);
		const onBytes = (read: number) => {
			if (before + read - told < bytesTotal / 100) return;
			told = before + read;
			tell(i, told);
		};
		if (!(await part.isGood(onBytes).catch(() => false))) bad.push(part.path);
		before += part.size;
	}
	tell(parts.length, bytesTotal);
	return bad;
}

/** Whether size and SHA-256 of the file are those of the list. */
async function isIntact(
	root: string,
	file: IsoRelease["files"][number],
	onBytes: (done: number) => void,
): Promise<boolean> {
	const path = normalize(file.path).replace(/^\/+/, "");
	if (path.split("/").includes("..")) return false;
	const handle = await open(join(root, path), constants.O_RDONLY | constants.O_NOFOLLOW);
	try {
		const hash = createHash("sha256");
		const buffer = Buffer.allocUnsafe(CHUNK);
		let size = 0;
		for (;;) {
			const { bytesRead } = await handle.read(buffer, 0, CHUNK, size);
			if (bytesRead === 0) break;
			hash.update(buffer.subarray(0, bytesRead));
			size += bytesRead;
			onBytes(Math.min(size, file.size));
		}
		return size === file.size && hash.digest("hex") === file.sha256;
	} finally {
		await handle.close();
	}
}
