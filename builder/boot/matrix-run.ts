import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { giveToCaller } from "../signing/caller.ts";
import { type Combination, combinations, keyOf, type onlyFilter, type Startable } from "./combinations.ts";
import type { BuiltRelease } from "./find-release.ts";
import { type MatrixReport, type MatrixRow, matrixJunit, matrixReport, matrixTable } from "./matrix-report.ts";
import { rowNotRun } from "./matrix-row.ts";
import { say } from "./ready-guest.ts";

export interface MatrixRun {
	readonly release: BuiltRelease;
	readonly startable: Startable;
	readonly host: MatrixReport["host"];
	readonly wanted: ReturnType<typeof onlyFilter>;
	readonly signal: AbortSignal;
	/** Starts one combination and looks it over. */
	readonly boot: (combination: Combination) => Promise<MatrixRow>;
}

/**
 * Runs a release's combinations one after the other. X.boot-matrix.json, .junit.xml and .md stand beside the ISO and are written
 * anew after each, so that no end loses what has been run. Rows that are not wanted keep what an earlier run on the same ISO
 * found. `failed` are those of this run, with the reason.
 */
export async function runRelease(o: MatrixRun): Promise<{ report: MatrixReport; failed: string[] }> {
	const rows = await startingRows(o);
	const failed: string[] = [];
	for (const one of combinations(o.startable).filter((one) => one.impossible === null && o.wanted(one))) {
		if (o.signal.aborted) break;
		const name = `${o.release.name}.iso ${keyOf(one)}`;
		say(`\n${name}`);
		const row = await o.boot(one);
		rows.set(keyOf(one), row);
		if (row.result === "failed") failed.push(`${name}: ${row.reason}`);
		say(row.reason === null ? row.result : `${row.result}: ${row.reason}`);
		await save(o, rows);
	}
	return { report: await save(o, rows), failed };
}

/** Every combination, before anything is started: what cannot be, what an earlier run found, and what was not run yet. */
async function startingRows({ release, startable, wanted }: MatrixRun): Promise<Map<string, MatrixRow>> {
	const before = await earlier(release);
	return new Map(
		combinations(startable).map((one) => {
			const known = before.find((row) => keyOf(row) === keyOf(one) && row.startedAt !== null);
			const kept = known !== undefined && !wanted(one);
			return [keyOf(one), kept ? known : rowNotRun(one, wanted(one))];
		}),
	);
}

/** Rows of an earlier report on the same ISO. One that cannot be read is as good as none: it is written anew. */
async function earlier(release: BuiltRelease): Promise<readonly MatrixRow[]> {
	const text = await readFile(file(release, "json"), "utf8").catch(() => "null");
	const report = matrixReport.safeParse(parsed(text)).data;
	return report?.iso.sha256 === release.manifest.iso.sha256 ? report.rows : [];
}

function parsed(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		return undefined;
	}
}

async function save({ release, host }: MatrixRun, rows: ReadonlyMap<string, MatrixRow>): Promise<MatrixReport> {
	const { name, manifest } = release;
	const report: MatrixReport = {
		format: 1,
		iso: { file: `${name}.iso`, sha256: manifest.iso.sha256 },
		profile: manifest.profile,
		version: manifest.version,
		base: manifest.base.name,
		arch: manifest.arch,
		fips: manifest.fips !== null,
		host,
		ok: [...rows.values()].every((row) => row.result !== "failed"),
		rows: [...rows.values()],
	};
	const json = `${JSON.stringify(report, null, "\t")}\n`;
	const texts = { json, "junit.xml": matrixJunit(report), md: matrixTable(report) };
	for (const [kind, text] of Object.entries(texts)) {
		await writeFile(file(release, kind), text);
		await giveToCaller(file(release, kind));
	}
	return report;
}

function file({ folder, name }: BuiltRelease, kind: string): string {
	return join(folder, `${name}.boot-matrix.${kind}`);
}
