import { createSign } from "node:crypto";
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { verifyFile } from "../../bundle/signature-file.ts";
import { testSigner, trustOf } from "../support/bundles.ts";
import { tempDir } from "../support/temp.ts";

const CHUNK = Buffer.alloc(1024 * 1024);
const SIZE = 2 ** 32 + CHUNK.length;

/** A08 beyond what fits 31 or 32 bits: RAUC's signature once covered only the first bytes of a large file (CVE-2026-34155). */
test("a signature covers what lies behind 2 GiB and 4 GiB", { timeout: 10 * 60_000 }, async () => {
	const dir = await tempDir();
	const [file, sig] = [join(dir, "file"), join(dir, "file.sig.bin")];
	const signer = testSigner();
	const sign = createSign("sha256");
	for (let at = 0; at < SIZE; at += CHUNK.length) sign.update(CHUNK);
	await writeFile(sig, sign.sign(signer.privateKey));
	const fd = await open(file, "w"); // a hole, but for the byte that is changed
	try {
		await fd.truncate(SIZE);
		const verify = () => verifyFile(file, sig, trustOf(signer).release);
		expect((await verify()).keyId).toBe(signer.keyId);
		for (const at of [2 ** 31, 2 ** 32 + 1]) {
			await fd.write(Buffer.from([1]), 0, 1, at);
			await expect(verify(), `byte ${at}`).rejects.toMatchObject({ code: "E_SIG_INVALID" });
			await fd.write(Buffer.from([0]), 0, 1, at);
		}
	} finally {
		await fd.close();
	}
});
