import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
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
	const bundles = await bundleFiles(content);
	const total = medium.files.length + bundles.length;
	const tell = (done: number, bad: readonly string[]) => state.update({ mediumCheck: { done, total, bad: [...bad] } });
	const bad = await checkFiles(join(content, ".."), medium.files, tell);
	for (const [i, file] of bundles.entries()) {
		await verifyBundle(join(content, file), trust).catch(() => bad.push(`${basename(content)}/${file}`));
		tell(medium.files.length + i + 1, bad);
	}
	if (bad.length === 0) return;
	throw new SlipwayError("E_DIGEST_MISMATCH", `The medium is damaged: ${bad.join(", ")}.`, {
		next: "Write the ISO to another medium.",
	});
}

/** Compares size and SHA-256 of the files. Gives the paths that are damaged or missing. */
export async function checkFiles(
	root: string,
	files: IsoRelease["files"],
	progress: (done: number, bad: readonly string[]) => void,
): Promise<string[]> {
	const bad: string[] = [];
	for (const [i, file] of files.entries()) {
		progress(i, bad);
		const good = await isIntact(root, file).catch(() => false);
		if (!good) bad.push(file.path);
	}
	progress(files.length, bad);
	return bad;
}

async function isIntact(root: string, file: IsoRelease["files"][number]): Promise<boolean> {
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
		}
		return size === file.size && hash.digest("hex") === file.sha256;
	} finally {
		await handle.close();
	}
}
