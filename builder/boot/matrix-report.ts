import { z } from "zod";
import { FIRMWARE } from "../tools/qemu.ts";
import { MEDIA } from "./combinations.ts";

const row = z.strictObject({
	firmware: z.enum(FIRMWARE),
	media: z.enum(MEDIA),
	/** `impossible`: no machine can be started so; `not-run`: it could, and was not. */
	result: z.enum(["passed", "failed", "impossible", "not-run"]),
	/** Why it failed, cannot be, or was not run. */
	reason: z.string().nullable(),
	startedAt: z.string().nullable(),
	accelerator: z.enum(["kvm", "tcg"]).nullable(),
	secondsToReady: z.number().nullable(),
	/** As the guest saw it; null: it did not say. */
	secureBoot: z.boolean().nullable(),
	/** Names of all checks that were made, and of those that failed. */
	checks: z.array(z.string()),
	failed: z.array(z.string()),
	/** Name of the file beside this one. */
	serialLog: z.string().nullable(),
});
export type MatrixRow = z.infer<typeof row>;

/** `X.boot-matrix.json`. */
export const matrixReport = z.strictObject({
	format: z.literal(1),
	iso: z.strictObject({ file: z.string(), sha256: z.string() }),
	profile: z.string(),
	version: z.string(),
	base: z.string(),
	arch: z.enum(["amd64", "arm64"]),
	fips: z.boolean(),
	/** What QEMU says of itself, and the kind of machine it runs on. */
	host: z.strictObject({ qemu: z.string(), arch: z.string() }),
	/** No row failed. */
	ok: z.boolean(),
	rows: z.array(row),
});
export type MatrixReport = z.infer<typeof matrixReport>;

const RESULT = { passed: "ok", failed: "FAILED", impossible: "impossible", "not-run": "not run" } as const;

/** `X.boot-matrix.md`: a row of a table for each combination. Pure. */
export function matrixTable(m: MatrixReport): string {
	const cell = (value: unknown) => (value === null ? "" : String(value).replaceAll("|", "\\|").replace(/\s+/g, " "));
	const line = (cells: readonly unknown[]) => `| ${cells.map(cell).join(" | ")} |`;
	return [
		`# ${m.iso.file}`,
		"",
		`SHA-256 ${m.iso.sha256}; ${m.host.qemu} on ${m.host.arch}.`,
		"",
		line([
			"Firmware",
			"Medium",
			"Arch",
			"FIPS",
			"Result",
			"Seconds to ready",
			"Accelerator",
			"Secure Boot",
			"Why",
			"Console",
		]),
		line(Array(10).fill("---")),
		...m.rows.map((r) =>
			line([
				...[r.firmware, r.media, m.arch, m.fips ? "yes" : "no", RESULT[r.result], r.secondsToReady, r.accelerator],
				r.secureBoot === null ? null : r.secureBoot ? "on" : "off",
				// What the console ended with is in the log.
				r.reason?.split("\n")[0] ?? null,
				r.serialLog === null ? null : `[log](${r.serialLog})`,
			]),
		),
		"",
	].join("\n");
}

/** `X.boot-matrix.junit.xml`, in the form that CI systems read: a test case for each combination. Pure. */
export function matrixJunit(m: MatrixReport): string {
	const cases = m.rows.map((r) => {
		const name = `${r.firmware} ${r.media} ${m.arch} ${m.fips ? "FIPS" : "without FIPS"}`;
		const attributes = `classname="${xml(m.profile)}" name="${xml(name)}" time="${r.secondsToReady ?? 0}"`;
		const why = `message="${xml(r.reason ?? "")}"`;
		const body = {
			passed: "",
			failed: `<failure ${why}/>`,
			impossible: `<skipped ${why}/>`,
			"not-run": `<skipped ${why}/>`,
		};
		const log = r.serialLog === null ? "" : `<system-out>${xml(r.serialLog)}</system-out>`;
		return `\t<testcase ${attributes}>${body[r.result]}${log}</testcase>`;
	});
	const count = (...results: MatrixRow["result"][]) => m.rows.filter((r) => results.includes(r.result)).length;
	const time = m.rows.reduce((sum, r) => sum + (r.secondsToReady ?? 0), 0);
	const totals = `tests="${m.rows.length}" failures="${count("failed")}" errors="0" skipped="${count("impossible", "not-run")}"`;
	return [
		'<?xml version="1.0" encoding="UTF-8"?>',
		`<testsuite name="${xml(m.iso.file)}" ${totals} time="${time.toFixed(1)}">`,
		...cases,
		"</testsuite>",
		"",
	].join("\n");
}

/** XML 1.0 has no form for control characters, so they are left out. */
function xml(text: string): string {
	const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;" };
	return text.replace(/[^\P{Cc}\n]|\p{Cs}|[\ufffe\uffff]/gu, "").replace(/[&<>"\n]/g, (c) => entities[c]!);
}
