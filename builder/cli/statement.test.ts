import { execFile } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { beforeEach, expect, test } from "vitest";
import { sha256Hex } from "../../bundle/digest.ts";
import { parseRoleKey } from "../../bundle/role.ts";
import { makeContent } from "../../test/support/content.ts";
import { tempDir } from "../../test/support/temp.ts";
import { projectRoot } from "./command.ts";

let dir: string;
beforeEach(async () => {
	dir = await tempDir();
	for (const name of ["root1", "root2", "release", "next"]) {
		const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
		await writeFile(path.join(dir, `${name}.key`), privateKey.export({ type: "pkcs8", format: "pem" }));
		await writeFile(path.join(dir, `${name}.pem`), publicKey.export({ type: "spki", format: "pem" }));
	}
	const key = (file: string) => ({ file });
	const trust = {
		format: 1,
		release: { threshold: 1, keys: [key("release.pem")] },
		root: { threshold: 2, keys: [key("root1.pem"), key("root2.pem")] },
	};
	await writeFile(path.join(dir, "trust.json"), JSON.stringify(trust));
});

/** Runs the command line in the folder and gives its JSON, also of an error. */
async function slipway(...args: string[]) {
	const run = promisify(execFile)(process.execPath, [path.join(projectRoot, "builder/cli.ts"), ...args, "--json"], {
		cwd: dir,
	});
	const { stdout } = await run.catch((error: { stdout: string }) => error);
	return JSON.parse(stdout);
}
const idOf = async (name: string) => parseRoleKey(await readFile(path.join(dir, `${name}.pem`), "utf8")).key.keyId;
const BOTH = ["--key", "root1.key", "--key", "root2.key"];

test("a chain is made, signed by both root keys, and listed as a box would read it", async () => {
	const content = await makeContent(path.join(dir, "c"));
	const releaseFile = path.join(content.content, "release.dsse.json");
	const make = (...args: string[]) => slipway("statement", "make", ...args);
	const rotate = await make("rotate", "--release-key", "next.pem", "--reason", "yearly", ...BOTH);
	expect(rotate).toMatchObject({ file: "statements/1.dsse.json", statement: { number: 1, previous: null } });
	await make(
		"deny",
		"--deny-key",
		"release.pem",
		"--bundle",
		content.bundles[0]!.path,
		"--release",
		releaseFile,
		"--key",
		"root1.key",
	);
	const unsigned = await slipway("statement", "list", "statements", "--trust", ".");
	expect(JSON.stringify(unsigned.errors)).toMatch(/E_STATEMENT.*2 must/);
	await slipway("sign", "statements/2.dsse.json", "--key", "root2.key");
	await make("floor-reset", "--product", "vertex=5", "--bundle", "core/amd64/n/a=7", ...BOTH);
	await make("rollback", "--from", "a".repeat(64), "--to", releaseFile, ...BOTH);
	const { statements, roles, denied } = await slipway("statement", "list", "statements", "--trust", ".");
	const { payload } = JSON.parse(await readFile(releaseFile, "utf8")) as { payload: string };
	const digest = sha256Hex(Buffer.from(payload, "base64"));
	expect(statements).toMatchObject([
		{ kind: "rotate", reason: "yearly" },
		{ kind: "deny", keys: [await idOf("release")], indexes: [content.bundles[0]!.indexDigest], releases: [digest] },
		{
			kind: "floor-reset",
			products: [{ product: "vertex", sequence: 5 }],
			bundles: [{ arch: "amd64", fips: "n/a", sequence: 7 }],
		},
		{ kind: "rollback", from: "a".repeat(64), to: digest, version: "1.0.0" },
	]);
	expect(roles[0]).toMatchObject({ name: "release", keys: [{ id: await idOf("next"), denied: false }] });
	expect(denied.documents).toEqual([content.bundles[0]!.indexDigest, digest]);
});

test("options that are not right, and a chain with a gap", async () => {
	const error = async (code: string, ...args: string[]) =>
		expect((await slipway("statement", "make", ...args)).errors).toMatchObject([{ code }]);
	await error("E_USAGE", "deny", "--deny-key", "nothing.pem", ...BOTH);
	await error("E_USAGE", "floor-reset", "--product", "vertex", ...BOTH);
	await error("E_USAGE", "rotate", "--release-key", "next.pem");
	await error("E_STATEMENT", "rotate", ...BOTH);
	await error("E_STATEMENT", "rotate", "--release-key", "next.pem", "--release-threshold", "0", ...BOTH);
	await error("E_KEY_MISSING", "deny", "--deny-key", "a".repeat(64), "--key", "none.key");
	await slipway("statement", "make", "deny", "--deny-key", "a".repeat(64), ...BOTH);
	await slipway("statement", "make", "deny", "--deny-key", "b".repeat(64), ...BOTH);
	await rm(path.join(dir, "statements/1.dsse.json"));
	await error("E_STATEMENT", "deny", "--deny-key", "c".repeat(64), ...BOTH);
});
