import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { combinations, keyOf, onlyFilter } from "./combinations.ts";
import type { BuiltRelease } from "./find-release.ts";
import { type MatrixReport, type MatrixRow, matrixJunit, matrixTable } from "./matrix-report.ts";
import { rowNotRun } from "./matrix-row.ts";
import { type MatrixRun, runRelease } from "./matrix-run.ts";

test("every combination is there, and what cannot be says why", () => {
	expect(combinations({ arch: "amd64", boot: "grub", lacks: [] }).map(keyOf)).toEqual([
		...["bios/cd", "bios/usb", "uefi/cd", "uefi/usb", "uefi-secureboot/cd", "uefi-secureboot/usb"],
	]);
	expect(combinations({ arch: "amd64", boot: "grub", lacks: [] }).filter((one) => one.impossible !== null)).toEqual([]);
	expect(
		combinations({ arch: "arm64", boot: "grub", lacks: [] }).filter((one) => one.impossible !== null),
	).toMatchObject([
		{ firmware: "bios", media: "cd", impossible: expect.stringContaining("BIOS") },
		{ firmware: "bios", media: "usb" },
	]);
	const uki = combinations({ arch: "amd64", boot: "uki", lacks: [] }).filter((one) => one.impossible !== null);
	expect(uki.map(keyOf)).toEqual(["bios/cd", "bios/usb"]);
	const cloud = combinations({ arch: "amd64", boot: "grub", lacks: ["uas", "usb-storage"] });
	expect(cloud.filter((one) => one.impossible === null).map(keyOf)).toEqual([
		"bios/cd",
		"uefi/cd",
		"uefi-secureboot/cd",
	]);
});

test("--only takes a firmware, a medium or both, and nothing that would let nothing through", () => {
	const through = (...words: string[]) =>
		combinations({ arch: "amd64", boot: "grub", lacks: [] }).filter(onlyFilter(words)).map(keyOf);
	expect(through("uefi")).toEqual(["uefi/cd", "uefi/usb"]);
	expect(through("usb", "bios/cd")).toEqual(["bios/cd", "bios/usb", "uefi/usb", "uefi-secureboot/usb"]);
	expect(combinations({ arch: "amd64", boot: "grub", lacks: [] }).filter(onlyFilter(undefined))).toHaveLength(6);
	for (const word of ["", "efi", "cd/bios", "bios/", "bios/cd/usb", "bios/floppy"]) {
		expect(() => onlyFilter([word]), word).toThrowError(expect.objectContaining({ code: "E_USAGE" }));
	}
});

test("the boots of `make test` have every two values that a machine can have together", async () => {
	const page = await readFile(new URL("../../docs/testing.md", import.meta.url), "utf8");
	const rows = [...page.matchAll(/^\| `([a-z-]+)` \| (CD|USB) \| (a\w+) \| (yes|no) \| `\w/gm)].map((m) => m.slice(1));
	const columns = [0, 1, 2, 3].map((i) => [...new Set(rows.map((row) => row[i]!))]);
	expect(columns.map((values) => values.length)).toEqual([3, 2, 2, 2]);
	const lacking = columns.flatMap((left, i) =>
		columns
			.slice(i + 1)
			.flatMap((right, j) =>
				left
					.flatMap((a) => right.map((b) => [a, b]))
					.filter(([a, b]) => !rows.some((row) => row[i] === a && row[i + 1 + j] === b)),
			),
	);
	expect(lacking).toEqual([["bios", "arm64"]]);
});

async function scene(change: Partial<MatrixRun> = {}): Promise<MatrixRun> {
	const folder = await mkdtemp(join(tmpdir(), "slipway-matrix-"));
	onTestFinished(() => rm(folder, { recursive: true, force: true }));
	const manifest = {
		iso: { file: "x.iso", size: 1, sha256: "ab".repeat(32) },
		...{ profile: "p", version: "1", base: { name: "b", title: "B", suite: "s" }, arch: "amd64", fips: null },
	} as BuiltRelease["manifest"];
	return {
		release: { folder, name: "x", iso: join(folder, "x.iso"), manifest },
		...{
			startable: { arch: "amd64", boot: "grub", lacks: [] },
			host: { qemu: "QEMU 1", arch: "x64" },
			wanted: () => true,
		},
		signal: new AbortController().signal,
		boot: async (one) => ran(one, { result: "passed", reason: null }),
		...change,
	};
}

function ran(one: Parameters<typeof rowNotRun>[0], change: Partial<MatrixRow>): MatrixRow {
	const row = { ...rowNotRun(one, true), startedAt: "2026-01-01T00:00:00Z", secondsToReady: 10, accelerator: "tcg" };
	return { ...row, serialLog: "x.log", ...change } as MatrixRow;
}

async function written({ release }: MatrixRun): Promise<MatrixReport> {
	return JSON.parse(await readFile(join(release.folder, "x.boot-matrix.json"), "utf8"));
}

test("a failure does not end the matrix; each boot is written when it is done; a later run of some keeps the others", async () => {
	const order: string[] = [];
	const o = await scene({
		boot: async (one) => {
			if (order.length > 0) expect((await written(o)).rows[order.length - 1]?.result).not.toBe("not-run");
			order.push(keyOf(one));
			return ran(one, keyOf(one) === "uefi/cd" ? { result: "failed", reason: "E_X: why" } : { result: "passed" });
		},
	});
	const { report, failed } = await runRelease(o);
	expect(order).toHaveLength(6);
	expect(failed).toEqual(["x.iso uefi/cd: E_X: why"]);
	expect(report.ok).toBe(false);
	expect(await written(o)).toEqual(report);
	expect((await readdir(o.release.folder)).sort()).toEqual([
		...["x.boot-matrix.json", "x.boot-matrix.junit.xml", "x.boot-matrix.md"],
	]);

	const boot: MatrixRun["boot"] = async (one) => ran(one, { result: "passed", reason: null, secondsToReady: 77 });
	const again = await runRelease({ ...o, wanted: onlyFilter(["uefi/cd"]), boot });
	expect(again).toMatchObject({ failed: [], report: { ok: true } });
	expect(again.report.rows.map((row) => row.secondsToReady)).toEqual([10, 10, 77, 10, 10, 10]);

	// Another ISO: what the file says is of no use for it.
	const manifest = { ...o.release.manifest, iso: { ...o.release.manifest.iso, sha256: "cd".repeat(32) } };
	const other = await runRelease({ ...o, release: { ...o.release, manifest }, boot, wanted: onlyFilter(["uefi/cd"]) });
	expect(other.report.rows.map((row) => row.result)).toEqual([
		...["not-run", "not-run", "passed", "not-run", "not-run", "not-run"],
	]);
});

test("after Ctrl-C nothing more is started, and what was run is written", async () => {
	const abort = new AbortController();
	const o = await scene({
		signal: abort.signal,
		boot: async (one) => {
			if (keyOf(one) === "uefi/cd") abort.abort();
			return abort.signal.aborted ? rowNotRun(one, true) : ran(one, { result: "passed" });
		},
	});
	await runRelease(o);
	const { rows } = await written(o);
	expect(rows.map((row) => row.result)).toEqual([...["passed", "passed", "not-run", "not-run", "not-run", "not-run"]]);
	expect(rows.at(-1)?.reason).toContain("interrupted");
});

test("table and JUnit say the same, whatever the reason holds", async () => {
	const o = await scene({
		startable: { arch: "arm64", boot: "grub", lacks: [] },
		boot: async (one) => ran(one, { result: "failed", reason: 'a | <b> & "c"\x1b[0m\nnext line', secureBoot: true }),
	});
	const { report } = await runRelease(o);
	const xml = matrixJunit(report);
	expect(xml).toContain('tests="6" failures="4" errors="0" skipped="2"');
	expect(xml).toContain('message="a | &lt;b&gt; &amp; &quot;c&quot;[0m&#10;next line"');
	expect(xml).toContain('<skipped message="arm64 machines have no BIOS"/>');
	const table = matrixTable(report)
		.split("\n")
		.filter((line) => line.startsWith("| "));
	expect(table).toHaveLength(8);
	expect(table.at(-1)).toContain('| FAILED | 10 | tcg | on | a \\| <b> & "c"');
	expect(table.at(-1)).not.toContain("next line");
});
