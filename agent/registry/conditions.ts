/**
 * Whether the client holds the bytes already (`If-None-Match`, RFC 9110, 13.1.2): one of its entity tags is ours, weak or not,
 * or `*`. Our tags are digests in quotes, so that a comma only ever stands between two.
 */
export function isHeld(ifNoneMatch: string | undefined, etag: string): boolean {
	const tags = (ifNoneMatch ?? "").split(",").map((tag) => tag.trim().replace(/^W\//, ""));
	return tags.includes(etag) || tags.includes("*");
}

/** Whether `Range` counts (`If-Range`, RFC 9110, 13.1.5): who holds a part of something else, or goes by a date, gets the whole. */
export function rangeCounts(ifRange: string | string[] | undefined, etag: string): boolean {
	return ifRange === undefined || ifRange === etag;
}
