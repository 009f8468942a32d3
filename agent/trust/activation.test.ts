import { appendFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { signEnvelope } from "../../bundle/dsse.ts";
import { furtherName } from "../../bundle/further-signatures.ts";
import { PAYLOAD_TYPE } from "../../bundle/index-schema.ts";
import { openBundle } from "../../bundle/reader.ts";
import { testSigner } from "../../test/support/bundles.ts";
import { makeContent, type TestContent } from "../../test/support/content.ts";
import { TestChain } from "../../test/support/statements.ts";
import { tempDir } from "../../test/support/temp.ts";
import { type Agent, startAgent } from "../agent.ts";
import { Store } from "../store/store.ts";

/** What the agent makes of the ledger: when floors rise, and what a committed set may outlive. */

const HOST = { kernel: { rootId: null, checkMedium: false } };
const signer = testSigner();
let home: TestContent;
let agent: Agent | undefined;
beforeEach(async () => {
	home = await medium();
});
afterEach(async () => {
	vi.restoreAllMocks();
	await agent?.stop();
});

const medium = async () =>
	makeContent(await tempDir(), [{ refs: ["slipway.local/app:1"], input: { name: "app" } }], signer);
const floors = () => readFile(join(home.dir, "store/state/trust/floors.json"), "utf8").catch(() => "");

/** Starts the home's agent with that medium: stage, codes, and the release that is served. */
async function boot({ content }: TestContent, extra: object = {}) {
	await agent?.stop();
	agent = await startAgent(home.config({ content, ...extra }), HOST);
	await agent.settled;
	const { stage, conditions, servedFrom } = agent.state.status;
	const codes = conditions.filter((c) => !c.ok).map((c) => c.code);
	return [stage, codes, servedFrom === null ? null : agent.state.status.release?.sequence];
}

test("a crash between raised floors and the commit: the committed set serves, either medium loads", async () => {
	const next = await medium();
	expect(await boot(home)).toEqual(["ready", [], home.release.sequence]);
	vi.spyOn(Store.prototype, "commit").mockRejectedValueOnce(Object.assign(new Error("power"), { code: "EIO" }));
	expect(await boot(next)).toEqual(["degraded", ["E_IO"], home.release.sequence]);
	expect(await floors()).toContain(next.bundles[0]!.indexDigest);
	expect(await boot(home)).toEqual(["ready", [], home.release.sequence]);
	expect(await boot(next)).toEqual(["ready", [], next.release.sequence]);
});

test("floors rise only with a set of which every byte is good", async () => {
	const next = await medium();
	expect(await boot(home)).toEqual(["ready", [], home.release.sequence]);
	const before = await floors();
	const { path, index } = next.bundles[0]!;
	const bytes = await readFile(path);
	bytes[index.dataLength - 1]! ^= 1;
	await writeFile(path, bytes);
	expect(await boot(next)).toEqual(["degraded", ["E_FRAME"], home.release.sequence]);
	expect(await floors()).toBe(before);
});

test("damaged floors: the committed set serves, nothing else is taken; lost ones begin at the committed set", async () => {
	const old = await medium();
	const current = await medium();
	const next = await medium();
	expect(await boot(current)).toEqual(["ready", [], current.release.sequence]);
	const file = join(home.dir, "store/state/trust/floors.json");
	await appendFile(file, "x");
	expect(await boot(current)).toEqual(["ready", [], current.release.sequence]);
	expect(await boot(next)).toEqual(["degraded", ["E_TRUST_STATE"], current.release.sequence]);
	await rm(file);
	expect(await boot(old)).toEqual(["degraded", ["E_ROLLBACK", "E_ROLLBACK"], current.release.sequence]);
	expect(await boot(next)).toEqual(["ready", [], next.release.sequence]);
});

test("in place floors rise too, once the whole files are proved", async () => {
	expect(await boot(home, { serve: "in-place" })).toEqual(["ready", [], home.release.sequence]);
	await expect.poll(floors).toContain(home.bundles[0]!.indexDigest);
});

test("a medium that denies what is committed is heard, though its own content is no good", async () => {
	const root = testSigner();
	const trust = join(home.dir, "trust");
	await mkdir(trust);
	for (const [name, { publicKeyPem }] of Object.entries({ release: signer, root }))
		await writeFile(join(trust, `${name}.pem`), publicKeyPem);
	const role = (file: string) => ({ threshold: 1, keys: [{ file }] });
	const json = { format: 1, release: role("release.pem"), root: role("root.pem") };
	await writeFile(join(trust, "trust.json"), JSON.stringify(json));
	expect(await boot(home, { trust })).toEqual(["ready", [], home.release.sequence]);
	const next = await medium();
	await rm(join(next.content, "release.dsse.json"));
	expect(await boot(next, { trust })).toEqual(["degraded", ["E_MEDIA"], home.release.sequence]);
	const chain = new TestChain(root);
	await chain.add("deny", { indexes: [home.bundles[0]!.indexDigest] });
	await chain.write(next.content);
	expect(await boot(next, { trust })).toEqual(["failed", ["E_DENIED", "E_MEDIA"], null]);
});

test("a kept statement that no longer counts stops everything, with the way out", async () => {
	expect(await boot(home)).toEqual(["ready", [], home.release.sequence]);
	const folder = join(home.dir, "store/state/trust/statements");
	await mkdir(folder);
	await writeFile(join(folder, "1.dsse.json"), "{}");
	expect(await boot(home)).toEqual(["failed", ["E_STATEMENT"], null]);
	expect(agent!.state.status.lastError?.next).toContain(folder);
});

test("a set with further signatures is proved at the next start from what was kept", async () => {
	const second = testSigner();
	await rm(join(home.dir, "trust.pem"));
	const trust = join(home.dir, "trust");
	await mkdir(trust);
	for (const [name, { publicKeyPem }] of Object.entries({ a: signer, b: second }))
		await writeFile(join(trust, `${name}.pem`), publicKeyPem);
	const keys = [{ file: "a.pem" }, { file: "b.pem" }];
	await writeFile(join(trust, "trust.json"), JSON.stringify({ format: 1, release: { threshold: 2, keys } }));
	const payload = Buffer.from(JSON.stringify(home.release));
	const [one, two] = await Promise.all(
		[signer, second].map((by) => signEnvelope(PAYLOAD_TYPE.contentRelease, payload, by)),
	);
	const release = { ...one!, signatures: [...one!.signatures, ...two!.signatures] };
	await writeFile(join(home.content, "release.dsse.json"), JSON.stringify(release));
	expect(await boot(home, { trust })).toEqual(["failed", ["E_THRESHOLD"], null]);
	const bundle = await openBundle(home.bundles[0]!.path);
	await bundle.close();
	const { payloadType, signatures } = await signEnvelope(PAYLOAD_TYPE.bundleIndex, bundle.payload, second);
	await writeFile(furtherName(bundle.path), JSON.stringify({ payloadType, signatures }));
	expect(await boot(home, { trust })).toEqual(["ready", [], home.release.sequence]);
	await rm(home.content, { recursive: true });
	expect(await boot(home, { trust })).toEqual(["degraded", ["E_MEDIA"], home.release.sequence]);
});
