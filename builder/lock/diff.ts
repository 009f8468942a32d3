import type { BaseLock, LockedSet } from "./lock-file.ts";

export interface LockChange {
	/** `root`, `boot`, `workshop`, or a content bundle's name. */
	readonly set: string;
	readonly name: string;
	/** `rebuilt`: the same version with other bytes. */
	readonly kind: "added" | "removed" | "upgraded" | "downgraded" | "rebuilt";
	readonly before: string | null;
	readonly after: string | null;
}

/** Every package in which two locks differ, by set and name. `order` compares two versions as dpkg does. */
export async function diffLocks(
	before: BaseLock | undefined,
	after: BaseLock,
	order: (a: string, b: string) => Promise<number>,
): Promise<LockChange[]> {
	const changes: LockChange[] = [];
	for (const [set, old, now] of pairs(before, after)) {
		for (const name of [...new Set([...Object.keys(old), ...Object.keys(now)])].sort()) {
			const [a, b] = [old[name], now[name]];
			if (a !== undefined && a.version === b?.version && a.sha256 === b.sha256) continue;
			const entry = { set, name, before: a?.version ?? null, after: b?.version ?? null };
			if (a === undefined) changes.push({ ...entry, kind: "added" });
			else if (b === undefined) changes.push({ ...entry, kind: "removed" });
			else if (a.version === b.version) changes.push({ ...entry, kind: "rebuilt" });
			else changes.push({ ...entry, kind: (await order(a.version, b.version)) < 0 ? "upgraded" : "downgraded" });
		}
	}
	return changes;
}

function pairs(before: BaseLock | undefined, after: BaseLock): [string, LockedSet, LockedSet][] {
	const bundles = [...new Set([...Object.keys(before?.content ?? {}), ...Object.keys(after.content)])].sort();
	return [
		["root", before?.root ?? {}, after.root],
		["boot", before?.boot ?? {}, after.boot],
		["workshop", before?.workshop?.packages ?? {}, after.workshop?.packages ?? {}],
		...bundles.map((name): [string, LockedSet, LockedSet] => [
			name,
			before?.content[name] ?? {},
			after.content[name] ?? {},
		]),
	];
}
