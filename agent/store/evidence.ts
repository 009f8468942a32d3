import type { BigIntStats } from "node:fs";

/**
 * What a blob's file looked like when its bytes were verified and durable: [size, inode, ctime in nanoseconds]. While it
 * still looks so, nobody wrote to it through the file system, and it need not be read again to be trusted.
 */
export type Evidence = [size: number, inode: string, ctime: string];

export function evidenceOf(stat: BigIntStats): Evidence {
	return [Number(stat.size), String(stat.ino), String(stat.ctimeNs)];
}

export function sameEvidence(a: Evidence, b: Evidence): boolean {
	return a[0] === b[0] && a[1] === b[1] && a[2] === b[2];
}
