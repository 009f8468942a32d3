import { SlipwayError } from "./errors.ts";

/**
 * The one wording for places in a bundle: every refusal names the region at fault in these words, so that a person, or a
 * script, can tell a bad medium from a bad signature file. Offsets count from 0; both ends belong to the region.
 */
export const region = {
	frame: (frame: number, offset: number, size: number): string => `frame ${frame} ${bytes(offset, size)}`,
	index: (offset: number, size: number): string => `index ${bytes(offset, size)}`,
	seekTable: (offset: number, size: number): string => `seek table ${bytes(offset, size)}`,
	trailing: (from: number): string => `trailing bytes (from byte ${from})`,
	signatureFile: (path: string): string => `signature file ${path}`,
} as const;

function bytes(offset: number, size: number): string {
	return `(bytes ${offset} to ${offset + size - 1})`;
}

/** The error with its region at the end of its message. What is not a SlipwayError is given back as it is. */
export function inRegion(place: string, error: unknown): unknown {
	if (!(error instanceof SlipwayError)) return error;
	const { code, message, next, at, cause } = error;
	return new SlipwayError(code, `${message} Region: ${place}.`, {
		next,
		cause: cause ?? error,
		...(at === undefined ? {} : { at }),
	});
}

/** Runs a check of what stands at a place in the bundle. */
export function within<T>(place: string, check: () => T): T {
	try {
		return check();
	} catch (error) {
		throw inRegion(place, error);
	}
}
