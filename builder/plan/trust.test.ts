import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeEach, expect, test } from "vitest";
import { loadTrust } from "../../bundle/trust.ts";
import { type TestSigner, testSigner } from "../../test/support/bundles.ts";
import { keysOf, TestChain } from "../../test/support/statements.ts";
import { tempDir } from "../../test/support/temp.ts";
import type { Profile } from "../profile/schema.ts";
import { buildTrust } from "./trust.ts";

const [vendor, next, root] = [testSigner(), testSigner(), testSigner()] as const;
const development = testSigner({ development: true });

let dir: string;
beforeEach(async () => {
	dir = await tempDir();
});

async function role(threshold: number, ...signers: TestSigner[]) {
	const keys = signers.map((signer) => path.join(dir, `${signer.keyId.slice(0, 8)}.pem`));
	for (const [i, signer] of signers.entries()) await writeFile(keys[i]!, signer.publicKeyPem);
	return { keys, threshold };
}
const build = (trust: Partial<Profile["trust"]>, signer: TestSigner) =>
	buildTrust({ name: "x", trust: { release: null, root: null, statements: null, ...trust } }, signer);

/** What a box makes of it: the folder that the agent stage writes, read back. */
async function onTheBox(trust: Awaited<ReturnType<typeof build>>) {
	const folder = path.join(await tempDir(), "trust");
	await mkdir(path.join(folder, "statements"), { recursive: true });
	await writeFile(path.join(folder, "trust.json"), JSON.stringify(trust.file));
	for (const [name, pem] of Object.entries(trust.pems)) await writeFile(path.join(folder, name), pem);
	for (const [name, base64] of Object.entries(trust.statements)) {
		await writeFile(path.join(folder, "statements", name), Buffer.from(base64, "base64"));
	}
	return loadTrust(folder);
}

test("without a word in the profile the key that signs is the only one, and there are no root keys", async () => {
	const trust = await onTheBox(await build({}, vendor));
	expect([...trust.release.keys.keys()]).toEqual([vendor.keyId]);
	expect([trust.root, trust.statements]).toEqual([undefined, []]);
});

test("a development key is taken beside the profile's keys, marked; a vendor's build leaves it out", async () => {
	const release = await role(1, vendor);
	const built = await build({ release }, development);
	expect(built.file.release.keys).toEqual([
		{ file: "release.pem", development: true },
		{ file: "release-2.pem", development: false },
	]);
	const laboratory = await onTheBox(built);
	expect([...laboratory.release.keys].map(([id, key]) => [id, key.development])).toEqual([
		[development.keyId, true],
		[vendor.keyId, false],
	]);
	expect([...(await onTheBox(await build({ release }, vendor))).release.keys.keys()]).toEqual([vendor.keyId]);
});

test("root keys and the chain are carried, and the key that it rotated to must sign the build", async () => {
	const chain = new TestChain(root);
	await chain.add("rotate", { release: keysOf(1, next) });
	await chain.add("deny", { keys: [vendor.keyId] });
	await chain.write(dir);
	const said = { release: await role(1, vendor), root: await role(1, root), statements: path.join(dir, "statements") };
	const trust = await onTheBox(await build(said, next));
	expect([...trust.release.keys.keys()]).toEqual([next.keyId]);
	expect(trust.release.denyKeys).toEqual(new Set([vendor.keyId]));
	expect(trust.statements).toHaveLength(2);
	await expect(build(said, vendor)).rejects.toMatchObject({ code: "E_KEY_UNKNOWN" });
	await expect(build({ ...said, root: null }, next)).rejects.toMatchObject({ code: "E_STATEMENT" });
	await expect(build({ ...said, root: await role(1, testSigner()) }, next)).rejects.toMatchObject({
		code: "E_STATEMENT",
	});
});

test("an image that would refuse its own medium is not built", async () => {
	const refused = (code: string, trust: Partial<Profile["trust"]>) =>
		expect(build(trust, vendor)).rejects.toMatchObject({ code });
	await refused("E_KEY_UNKNOWN", { release: await role(1, next) });
	await refused("E_THRESHOLD", { release: await role(2, vendor, next) });
	await refused("E_CONFIG", { release: await role(2, vendor) });
	await refused("E_CONFIG", { release: await role(1, vendor), root: await role(1, vendor) });
	await refused("E_PROFILE_VALUE", { root: { keys: [path.join(dir, "none.pem")], threshold: 1 } });
	const weak = await role(1, root);
	await writeFile(weak.keys[0]!, (await readFile(weak.keys[0]!, "utf8")).slice(30));
	await refused("E_KEY_WEAK", { root: weak });
});
