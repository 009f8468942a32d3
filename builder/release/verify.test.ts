import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DEVELOPMENT_MARK } from "../../bundle/role.ts";
import { signatureName } from "../../bundle/signature-file.ts";
import { run } from "../tools/run.ts";

const script = path.join(import.meta.dirname, "verify.sh");
/** Does what the sample script of Artifact Studio does: strips `.sig.bin`, adds `.zst`, goes on when there is no such file. */
const SAMPLE = `for s in *.sig.bin; do
	z="\${s%.sig.bin}.zst"
	[[ -f $z ]] || { echo "$z: no data file"; continue; }
	openssl dgst -sha256 -verify "$KEY" -signature "$s" "$z" >/dev/null 2>&1 && echo "$z: valid" || echo "$z: invalid"
done`;

let folder: string;
let key: KeyObject;
beforeEach(async () => {
	folder = await mkdtemp(path.join(tmpdir(), "slipway verify "));
	const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
	key = pair.privateKey;
	const pem = pair.publicKey.export({ type: "spki", format: "pem" });
	await writeFile(path.join(folder, "public_key.pem"), `${DEVELOPMENT_MARK}: not for production\n${pem}`);
	await cp(script, path.join(folder, "verify.sh"));
});
afterEach(() => rm(folder, { recursive: true }));

async function put(name: string): Promise<void> {
	const data = Buffer.from(`bytes of ${name}`);
	await writeFile(path.join(folder, name), data);
	await writeFile(path.join(folder, signatureName(name)), sign("sha256", data, key));
}

async function verify(...args: string[]): Promise<{ exitCode: number; text: string }> {
	const { exitCode, stdout, stderr } = await run("sh", [path.join(folder, "verify.sh"), ...args], {
		accept: [0, 4, 6],
	});
	return { exitCode, text: `${stdout}\n${stderr}` };
}

test("every bundle and ISO is checked, whatever its name, and a development key is called one", async () => {
	for (const name of ["core-1-amd64.zst", "with space.zst", "-v.zst", "x.iso", "new\nline.zst", "$(touch pwned).zst"])
		await put(name);
	const { exitCode, text } = await verify();
	expect(text).toContain("6 verified.");
	expect(text).toContain("DEVELOPMENT key");
	expect(text).toContain("new?line.zst: OK");
	expect(exitCode).toBe(0);
	expect((await verify(path.join(folder, "public_key.pem"), folder)).exitCode).toBe(0);
});

test("one flipped byte, in a bundle, an ISO or a signature, is an error that names the file", async () => {
	for (const name of ["a.zst", "x.iso"]) await put(name);
	for (const name of ["a.zst", "x.iso", "a.sig.bin", "x.iso.sig.bin"]) {
		const file = path.join(folder, name);
		const good = await readFile(file);
		const bad = Buffer.from(good);
		bad[bad.length - 1] = (bad[bad.length - 1] ?? 0) ^ 1;
		await writeFile(file, bad);
		const { exitCode, text } = await verify();
		expect(exitCode).toBe(6);
		expect(text).toContain(`${name.replace("a.sig.bin", "a.zst").replace("x.iso.sig.bin", "x.iso")}: WRONG SIGNATURE`);
		expect(text).toContain("1 of 2 failed");
		await writeFile(file, good);
	}
	expect((await verify()).exitCode).toBe(0);
});

test("a missing signature, a missing file, an empty folder and a key that is none are errors", async () => {
	expect(await verify()).toMatchObject({ exitCode: 6, text: expect.stringContaining("E_EMPTY") });
	for (const name of ["a.zst", "x.iso"]) await put(name);
	await rm(path.join(folder, "x.iso.sig.bin"));
	expect(await verify()).toMatchObject({ exitCode: 6, text: expect.stringContaining("x.iso: NO SIGNATURE") });
	await put("x.iso");
	await rm(path.join(folder, "a.zst"));
	expect(await verify()).toMatchObject({ exitCode: 6, text: expect.stringContaining("a.sig.bin: NO FILE") });
	await rm(path.join(folder, "a.sig.bin"));
	await mkdir(path.join(folder, "empty"));
	expect((await verify(path.join(folder, "public_key.pem"), path.join(folder, "empty"))).exitCode).toBe(6);
	expect((await verify(path.join(folder, "verify.sh"), folder)).text).toContain("E_KEY_UNKNOWN");
	const other = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ type: "spki", format: "pem" });
	await writeFile(path.join(folder, "other.pem"), other);
	expect((await verify(path.join(folder, "other.pem"), folder)).exitCode).toBe(6);
});

test("a loop over the signatures, as Artifact Studio publishes it, finds every bundle valid", async () => {
	for (const name of ["core-1-amd64-fips.zst", "extra-2-amd64.tar.zst", "x.iso"]) await put(name);
	const { stdout } = await run("bash", ["-c", SAMPLE], {
		cwd: folder,
		env: { KEY: path.join(folder, "public_key.pem") },
	});
	expect(stdout.split("\n")).toEqual([
		"core-1-amd64-fips.zst: valid",
		"extra-2-amd64.tar.zst: valid",
		"x.iso.zst: no data file",
	]);
});
