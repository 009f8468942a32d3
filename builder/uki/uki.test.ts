import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bootPackages, checkKernelSigned } from "../archive/packages.ts";
import { projectRoot } from "../cli/command.ts";
import { loadBase } from "../profile/base.ts";
import { enrolled, withVariables } from "../tools/efi-vars.ts";
import { run } from "../tools/run.ts";
import { openUkiSigner } from "./key.ts";
import { addSections, isSigned } from "./pe.ts";

let dir: string;
beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), "slipway-uki-"));
	for (const [name, kind] of [
		["one", ["rsa:2048"]],
		["two", ["rsa:2048"]],
		["short", ["rsa:1024"]],
		["ec", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]],
	] as const) {
		const files = ["-keyout", join(dir, `${name}.key`), "-out", join(dir, `${name}.pem`)];
		await run("openssl", ["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=x", "-newkey", ...kind, ...files]);
	}
	const locked = ["-aes256", "-passout", "pass:secret", "-out", join(dir, "locked.key")];
	await run("openssl", ["rsa", "-in", join(dir, "one.key"), ...locked]);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const open = (key?: string, certificate?: string) =>
	openUkiSigner(
		{ name: "p", boot: "uki" },
		{ ...(key && { UKI_KEY: join(dir, key) }), ...(certificate && { UKI_CERT: join(dir, certificate) }) },
	);

test("key and certificate are a pair that firmware takes, or the error says what is wrong and what to do", async () => {
	const pem = await readFile(join(dir, "one.pem"), "utf8");
	expect(new X509Certificate((await open("one.key", "one.pem"))!.certificate).raw).toEqual(
		new X509Certificate(pem).raw,
	);
	expect(await openUkiSigner({ name: "p", boot: "grub" }, {})).toBeNull();
	for (const [key, certificate, code, words] of [
		[undefined, "one.pem", "E_KEY_MISSING", /UKI_KEY= is not set/],
		["one.key", undefined, "E_KEY_MISSING", /UKI_CERT= is not set/],
		["none.key", "one.pem", "E_KEY_MISSING", /none\.key cannot be read \(ENOENT\)/],
		["one.pem", "one.pem", "E_KEY_MISSING", /one\.pem holds no private key/],
		["locked.key", "one.pem", "E_KEY_MISSING", /locked\.key holds no private key without a passphrase/],
		["one.key", "one.key", "E_KEY_MISSING", /one\.key holds no certificate/],
		["one.key", "two.pem", "E_KEY_MISSING", /two\.pem is not that of the key in .*one\.key/],
		["short.key", "short.pem", "E_KEY_WEAK", /RSA of 1024 bits/],
		["ec.key", "ec.pem", "E_KEY_WEAK", /is ec; firmware/],
	] as const) {
		const failure = expect(open(key, certificate), `${key} ${certificate}`).rejects;
		await failure.toMatchObject({ code, message: expect.stringMatching(words), next: expect.stringMatching(/UKI_/) });
	}
});

test("the stub's package comes in place of GRUB's, and an unsigned kernel behind shim is refused by its name", async () => {
	const base = await loadBase(projectRoot, "debian-13");
	expect(bootPackages(base, { arch: "amd64", boot: "uki" })).toEqual(["systemd-boot-efi"]);
	expect(bootPackages(base, { arch: "amd64", boot: "grub" })).toEqual(expect.arrayContaining(["shim-signed"]));
	const at = { file: "p.yaml", line: 4, col: 12 };
	// Debian's name, and Ubuntu's.
	for (const kernel of ["linux-image-6.12.1-amd64-unsigned", "linux-image-unsigned-6.8.0-60-generic"]) {
		const unsigned = ["linux-image-generic", kernel];
		const place = (name: string) => (name === kernel ? at : undefined);
		expect(() => checkKernelSigned("grub", unsigned, place)).toThrowError(
			expect.objectContaining({ code: "E_KERNEL_UNSIGNED", at }),
		);
		checkKernelSigned("uki", unsigned, place);
		checkKernelSigned("grub", ["linux-image-generic", "linux-image-6.8.0-60-generic"], place);
	}
});

/** A PE32+ image with one section, room for `room` more headers, and perhaps a signature. */
function image(room: number, signed = false): Buffer {
	const optional = 0x40 + 24;
	const table = optional + 112 + 16 * 8;
	const headers = Math.ceil((table + 40 * (1 + room)) / 8) * 8;
	const file = Buffer.alloc(0x800, 0xcc).fill(0, 0, headers);
	file.write("MZ", 0);
	file.writeUInt32LE(0x40, 0x3c);
	file.write("PE\0\0", 0x40);
	file.writeUInt16LE(1, 0x44 + 2);
	file.writeUInt16LE(table - optional, 0x44 + 16);
	file.writeUInt16LE(0x20b, optional);
	for (const [at, value] of [
		[32, 0x1000],
		[36, 0x200],
		[56, 0x3000],
		[60, headers],
		[108, 16],
	] as const)
		file.writeUInt32LE(value, optional + at);
	if (signed) file.writeUInt32LE(8, optional + 112 + 4 * 8 + 4);
	file.write(".text", table);
	file.writeUInt32LE(0x600 - headers, table + 16);
	file.writeUInt32LE(headers, table + 20);
	file.writeUInt32LE(0x600, 0x44 + 8);
	return file;
}

test("sections stand behind what is there, aligned in file and memory, with the bytes they were given", () => {
	const stub = image(2);
	const before = Buffer.from(stub);
	const added = [
		{ name: ".cmdline", data: Buffer.from("root=x") },
		{ name: ".linux", data: Buffer.alloc(0x1234, 7) },
	];
	const out = addSections(stub, added);
	expect(stub.equals(before)).toBe(true);
	expect(out.equals(addSections(stub, added))).toBe(true);
	const table = out.readUInt16LE(0x44 + 16) + 0x40 + 24;
	expect(out.readUInt16LE(0x44 + 2)).toBe(3);
	const found = added.map((_, i) => {
		const at = table + 40 * (i + 1);
		const [size, address, rawSize, raw] = [8, 12, 16, 20].map((field) => out.readUInt32LE(at + field));
		const data = out.subarray(raw!, raw! + size!);
		return { name: out.toString("latin1", at, at + 8).replace(/\0+$/, ""), data, address, rawSize, raw };
	});
	expect(found.map(({ name, data }) => ({ name, data: Buffer.from(data) }))).toEqual(added);
	expect(found.map(({ address, raw, rawSize }) => [address, raw, rawSize])).toEqual([
		[0x3000, 0x600, 0x200],
		[0x4000, 0x800, 0x1400],
	]);
	expect(out.length).toBe(0x1c00);
	// Firmware hashes headers and sections: with a byte between them it would refuse what was signed.
	const headers = out.readUInt32LE(0x40 + 24 + 60);
	const sizes = [0, 1, 2].map((i) => out.readUInt32LE(table + 40 * i + 16));
	expect(sizes.reduce((sum, size) => sum + size, headers)).toBe(out.length);
	// Bytes behind the last section, a symbol table, are no part of what firmware hashes.
	expect(out.readUInt32LE(0x44 + 8)).toBe(0);
	expect(out.readUInt32LE(0x40 + 24 + 56)).toBe(0x6000);
	// Code and data of the stub are as they were; only its headers changed.
	expect(out.subarray(0x200, 0x600).equals(before.subarray(0x200, 0x600))).toBe(true);
});

test("a program without room, with a signature, or of another form is refused", () => {
	const section = [{ name: ".linux", data: Buffer.alloc(1) }];
	const gap = image(1);
	gap.writeUInt32LE(0x400, 0x40 + 24 + 112 + 16 * 8 + 20);
	for (const bad of [gap, image(0), image(1, true), Buffer.from("MZ"), Buffer.alloc(4096), image(1).subarray(0, 300)]) {
		expect(() => addSections(bad, section)).toThrowError(expect.objectContaining({ code: "E_STAGE" }));
	}
	expect([isSigned(image(1, true)), isSigned(image(1)), isSigned(Buffer.from("no program"))]).toEqual([
		true,
		...[false, false],
	]);
});

test("the certificate is the only key in the firmware's variables, whatever was there", async () => {
	const certificate = new X509Certificate(await readFile(join(dir, "one.pem"))).raw;
	const store = Buffer.alloc(0x4000, 0xee);
	store.write("_FVH", 40);
	store.writeUInt16LE(0x48, 48);
	Buffer.from("782cf3aa7b949a43a1802e144ec37792", "hex").copy(store, 0x48);
	store.writeUInt32LE(0x2000, 0x48 + 16);
	const out = withVariables(store, enrolled(certificate));
	expect(out.includes(certificate)).toBe(true);
	for (const name of ["PK", "KEK", "db", "SecureBootEnable"])
		expect(out.includes(Buffer.from(`${name}\0`, "utf16le")), name).toBe(true);
	// What was there is gone, and nothing outside the store has changed.
	expect(out.subarray(0x64, 0x2048).includes(Buffer.alloc(8, 0xee))).toBe(false);
	expect(out.subarray(0x2048).equals(store.subarray(0x2048))).toBe(true);
	const variable = { name: "x", vendor: "8be4df61-93ca-11d2-aa0d-00e098032b8c", attributes: 7 };
	expect(() => withVariables(store, [{ ...variable, data: Buffer.alloc(0x2000) }])).toThrowError(/no room/);
	expect(() => withVariables(Buffer.alloc(0x1000), [])).toThrowError(/not in the form/);
});
