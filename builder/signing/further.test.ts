import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { readRelease } from "../../bundle/release.ts";
import { openAuthentic } from "../../bundle/verify.ts";
import { testSigner, trustOf } from "../../test/support/bundles.ts";
import { makeContent } from "../../test/support/content.ts";
import { tempDir } from "../../test/support/temp.ts";
import { addSignature } from "./further.ts";

const [one, two, three] = [testSigner(), testSigner(), testSigner({ rsaBits: 3072 })] as const;
const all = trustOf([one, two, three], { threshold: 3 });

test("three keys sign a release and its bundle, one after the other, and no file is left half made", async () => {
	const { content, bundles } = await makeContent(await tempDir(), [{}], one);
	const [release, bundle] = [path.join(content, "release.dsse.json"), bundles[0]!.path];
	const sigs = bundle.replace(/\.zst$/, ".sigs.json");
	const before = await readFile(bundle);
	for (const signer of [two, three]) {
		expect(await addSignature(release, signer)).toBe(release);
		expect(await addSignature(bundle, signer)).toBe(sigs);
	}
	for (const signer of [one, two]) {
		expect(await addSignature(release, signer)).toBeUndefined();
		expect(await addSignature(bundle, signer)).toBeUndefined();
	}
	const keys = [one.keyId, two.keyId, three.keyId];
	expect(readRelease(await readFile(release), all.release).keys).toEqual(keys);
	const opened = await openAuthentic(bundle, all);
	await opened.close();
	expect(opened.keys).toEqual(keys);
	expect(await readFile(bundle)).toEqual(before);
	expect((JSON.parse(await readFile(sigs, "utf8")) as { signatures: unknown[] }).signatures).toHaveLength(2);
	expect((await readdir(content)).length).toBe(4);
});

test("what is no document is refused, and stays as it was", async () => {
	const dir = await tempDir();
	const file = path.join(dir, "release.dsse.json");
	await writeFile(file, "{}");
	await expect(addSignature(file, one)).rejects.toMatchObject({ code: "E_SIG_INVALID" });
	expect(await readFile(file, "utf8")).toBe("{}");
	await rm(file);
	await expect(addSignature(file, one)).rejects.toMatchObject({ code: "E_IO" });
	await writeFile(path.join(dir, "x.zst"), "x");
	await expect(addSignature(path.join(dir, "x.zst"), one)).rejects.toMatchObject({ code: "E_TRUNCATED" });
	expect(await readdir(dir)).toEqual(["x.zst"]);
});
