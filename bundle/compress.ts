import { createRequire } from "node:module";
import { rawFrame, walkFrame } from "./frames.ts";

/**
 * The only file that loads the native zstd: readers decode with node:zlib, so that the appliance needs no addon. Exactly
 * version 1.2.2 (later ones are not on the npm registry in binary form), and through bindings.js: the package's own entry
 * ignores the level.
 */
const require = createRequire(import.meta.url);
const { compress } = require("@mongodb-js/zstd/bindings.js") as {
	compress: (data: Buffer, level: number) => Promise<Buffer>;
};
const { version } = require("@mongodb-js/zstd/package.json") as { version: string };

/** A release is built often and stored once: 9 takes three times as long as 3 for a tenth less. */
const LEVEL = 3;
export const COMPRESSOR = `@mongodb-js/zstd ${version}, level ${LEVEL}`;
const WORTH_IT = 0.97;

/** Compresses `plain` to one frame in the thread pool; the canonical raw frame where that does not pay. */
export async function compressFrame(plain: Buffer): Promise<Buffer> {
	const frame = await compress(plain, LEVEL);
	const fits = walkFrame(frame, plain.length) === undefined; // what every reader will ask
	return fits && frame.length <= plain.length * WORTH_IT ? frame : rawFrame(plain);
}

/** By media type: gzip and zstd layers, and charts, which are tgz. */
export function isCompressedType(mediaType: string): boolean {
	return /[+.](?:gzip|zstd|tgz)$/.test(mediaType);
}
