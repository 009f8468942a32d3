import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type ErrorCode, SlipwayError, type SlipwayErrors } from "../../bundle/errors.ts";
import { ChangedPackages, DamagedPackage, MissingPackages } from "../tools/mmdebstrap.ts";
import { type Askers, type Given, placed } from "./placed.ts";

const at = (line: number) => ({ file: "p.yaml", line, col: 1 });
const askers = {
	file: "/nowhere/p.yaml",
	profile: { packages: ["curl", "gone"], firmware: ["nic"], overlays: ["one", "two"], base: "b" },
	base: { name: "b", firmware: { classes: { nic: { packages: ["fw-nic"] } } } },
	overlays: [{ packages: [] }, { packages: ["agentd"] }],
	origin: new Map([
		["packages.gone", at(1)],
		["firmware.nic", at(2)],
		["overlays.two", at(3)],
		["base", at(4)],
		["arch", at(5)],
	]),
} as unknown as Askers;

/** What is told when work fails with an error. */
async function told<E>(error: E, given: Given, asking = askers): Promise<E> {
	return placed(asking, given, () => Promise.reject(error)).catch((thrown: E) => thrown);
}

async function folder(): Promise<string> {
	const root = await mkdtemp(join(tmpdir(), "slipway-placed-"));
	onTestFinished(() => rm(root, { recursive: true, force: true }));
	return root;
}

test("each package that the archive lacks for an architecture is told where it is asked for", async () => {
	const missing = new MissingPackages(["gone", "fw-nic", "agentd", "udev"], { suite: "s", arch: "arm64" });
	const { errors } = (await told<SlipwayError>(missing, { root: "/nowhere" })) as unknown as SlipwayErrors;
	expect(errors.map((e) => [e.code, e.at?.line, e.message])).toEqual([
		["E_PROFILE_VALUE", 3, "The archive of s has no package agentd for arm64, which the overlay two asks for."],
		["E_PROFILE_VALUE", 2, "The archive of s has no package fw-nic for arm64, which the firmware class nic asks for."],
		["E_PROFILE_VALUE", 1, "The archive of s has no package gone for arm64, which the profile asks for."],
		["E_PROFILE_VALUE", 4, "The archive of s has no package udev for arm64, which the base b asks for."],
	]);
	expect((await told(new SlipwayError("E_EMULATOR", "x"), { root: "/nowhere" })).at?.line).toBe(5);
	const other = new SlipwayError("E_INTERRUPTED", "x");
	expect(await told(other, { root: "/nowhere" })).toBe(other);
});

test("what a mirror or its keyring did is told where mirrors.yaml names it, unless the command line did", async () => {
	const root = await folder();
	const file = join(root, "mirrors.yaml");
	await writeFile(
		file,
		"apiVersion: slipway/v1\nkind: Mirrors\nbases:\n  b:\n    mirror: http://m/\n    keyring: /k.gpg\n",
	);
	const line = async (code: ErrorCode, given: Omit<Given, "root"> = {}) =>
		(await told(new SlipwayError(code, "x", { next: "do" }), { root, ...given })).at?.line;
	expect(await line("E_ARCHIVE_EXPIRED")).toBe(5);
	expect(await line("E_ARCHIVE_UNREACHABLE")).toBe(5);
	expect(await line("E_KEYRING")).toBe(6);
	expect(await line("E_ARCHIVE_EXPIRED", { mirror: "http://other/" })).toBeUndefined();
	expect(await line("E_KEYRING", { keyring: "/other.gpg" })).toBe(5);
	expect(await line("E_STAGE")).toBeUndefined();
	// An archive's package, told by a stage; and an image of a registry.
	const damaged = new SlipwayError("E_DIGEST_MISMATCH", "x", { cause: new DamagedPackage("x") });
	expect((await told(damaged, { root })).at?.line).toBe(5);
	expect(await line("E_DIGEST_MISMATCH")).toBeUndefined();
	await writeFile(file, "apiVersion: slipway/v1\nkind: Mirrors\nbases: {}\n");
	expect(await line("E_ARCHIVE_EXPIRED")).toBeUndefined();
});

test("a locked package that the archive no longer offers is told where the lock names it", async () => {
	const root = await folder();
	await mkdir(join(root, "profiles"));
	const digest = "a".repeat(64);
	const one = `{ version: "1", arch: amd64, size: 1, sha256: ${digest}, path: pool/a.deb }`;
	await writeFile(
		join(root, "p.lock.yaml"),
		`apiVersion: slipway/v1\nkind: Lock\nbases:\n  b:\n    arch: amd64\n    inRelease: []\n    asked: { root: [], boot: [], content: {} }
    root:\n      a: ${one}\n    boot: {}\n    content:\n      core:\n        c: ${one}\n`,
	);
	const asking = { ...askers, file: join(root, "p.yaml") };
	const line = async (names: string[], given: Omit<Given, "root"> = {}) =>
		(await told(new ChangedPackages(names, "s"), { root, ...given }, asking)).at?.line;
	expect(await line([`a=1 ${digest}`])).toBe(9);
	// As a stage tells it.
	const staged = new SlipwayError("E_ARCHIVE_CHANGED", "x", { cause: new ChangedPackages(["c=1"], "s") });
	expect((await told(staged, { root }, asking)).at?.line).toBe(13);
	expect(await line(["c=1"])).toBe(13);
	expect(await line(["c=1"], { inputs: "X.inputs.json" })).toBeUndefined();
	expect(await line(["d=1"])).toBeUndefined();
});
