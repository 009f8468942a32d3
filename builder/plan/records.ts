import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import type { StageKey } from "./cache.ts";
import { canonicalJson } from "./canonical.ts";
import type { StageName } from "./stage.ts";

/** What each stage was made from when a profile was last built, so that `plan` can say what has changed since. */
export type BuildRecord = Partial<Record<StageName, StageKey & { readonly id: string }>>;

const SHOWN = 3;

export async function readRecord(cacheDir: string, name: string): Promise<BuildRecord> {
	return readFile(recordFile(cacheDir, name), "utf8").then(
		(text) => JSON.parse(text) as BuildRecord,
		() => ({}),
	);
}

/** Writes nothing when nothing changed, so that a build without work leaves the disk alone. */
export async function writeRecord(cacheDir: string, name: string, record: BuildRecord): Promise<void> {
	const file = recordFile(cacheDir, name);
	const text = `${JSON.stringify(record)}\n`;
	if ((await readFile(file, "utf8").catch(() => "")) === text) return;
	await mkdir(path.dirname(file), { recursive: true });
	await writeFile(`${file}.${process.pid}`, text, { flush: true });
	await rename(`${file}.${process.pid}`, file);
}

function recordFile(cacheDir: string, name: string): string {
	return path.join(cacheDir, "records", `${name}.json`);
}

/** Why a stage that is not in the cache must run, in words: what changed since the profile's last build. Pure. */
export function reasonToRun(now: StageKey & { readonly id: string }, before: BuildRecord): string {
	const last = before[now.name];
	if (last === undefined) return "first build";
	if (last.id === now.id) return "its output is no longer in the cache";
	const changes = [
		...differences("options", last.options, now.options),
		...keysThatDiffer(last.inputs, now.inputs).map((name) => `input ${name} changed`),
		...keysThatDiffer(last.sources, now.sources).map(
			(file) => `${file} ${verb(last.sources[file], now.sources[file])}`,
		),
	];
	if (changes.length === 0) return "Slipway's cache format changed";
	const more = changes.length > SHOWN ? `, and ${changes.length - SHOWN} more` : "";
	return changes.slice(0, SHOWN).join(", ") + more;
}

function verb(before: string | undefined, now: string | undefined): string {
	if (before === undefined || before === "absent") return "is new";
	return now === undefined || now === "absent" ? "is gone" : "changed";
}

function keysThatDiffer(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): string[] {
	return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => a[key] !== b[key]).sort();
}

/** Paths of the leaves that differ, such as `options.version`; short values are shown. */
function differences(at: string, a: unknown, b: unknown): string[] {
	if (canonicalJson(a ?? null) === canonicalJson(b ?? null)) return [];
	if (isRecord(a) && isRecord(b)) {
		const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();
		return keys.flatMap((key) => differences(`${at}.${key}`, a[key], b[key]));
	}
	const [from, to] = [a, b].map((value) => JSON.stringify(value ?? null));
	const short = (from?.length ?? 0) + (to?.length ?? 0) <= 80;
	return [short ? `${at} changed: ${from} → ${to}` : `${at} changed`];
}

function isRecord(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
