import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadTrust } from "../../bundle/trust.ts";
import { testSigner } from "../../test/support/bundles.ts";
import { makeContent } from "../../test/support/content.ts";
import { TestChain } from "../../test/support/statements.ts";
import { tempDir } from "../../test/support/temp.ts";
import { startAgent } from "../agent.ts";
import { Store } from "../store/store.ts";
import { TrustLedger } from "./ledger.ts";
import { rollBack } from "./rollback.ts";

/** A box that has had two releases, with the older one kept in its store. */
async function twoReleases() {
	const [dir, root, vendor] = [await tempDir(), testSigner(), testSigner()];
	const trust = join(dir, "trust");
	await mkdir(trust);
	await writeFile(join(trust, "release.pem"), vendor.publicKeyPem);
	await writeFile(join(trust, "root.pem"), root.publicKeyPem);
	const role = (file: string) => ({ threshold: 1, keys: [{ file }] });
	const json = { format: 1, release: role("release.pem"), root: role("root.pem") };
	await writeFile(join(trust, "trust.json"), JSON.stringify(json));
	const make = async (sequence: number) => {
		await rm(join(dir, "content"), { recursive: true, force: true });
		const input = { name: "app", version: `1.${sequence}`, sequence };
		const content = await makeContent(dir, [{ refs: [`a.local/app:${sequence}`], input }], vendor);
		await content.writeRelease({ sequence, version: `1.${sequence}` });
		return content.config({ trust });
	};
	const run = async (config: Awaited<ReturnType<typeof make>>) => {
		const agent = await startAgent(config, { kernel: { rootId: null, checkMedium: false } });
		await agent.settled;
		await agent.stop();
		return agent.state.status;
	};
	await run(await make(1));
	const config = await make(2);
	expect((await run(config)).stage).toBe("ready");
	const open = async () => ({
		store: await Store.open(join(dir, "store/store")),
		ledger: await TrustLedger.open(join(dir, "store/state/trust"), await loadTrust(trust)),
	});
	const plan = async (from: string, to: string, by = root) => {
		const chain = new TestChain(root);
		await chain.add("rollback", { from, to, version: "1.1" }, [by]);
		await chain.write(config.content);
	};
	return { dir, config, open, plan, run: () => run(config), vendor };
}

test("the kept release comes back only by a signed statement, without its medium, and is what a start serves", async () => {
	const { config, open, plan, run, vendor } = await twoReleases();
	const { store, ledger } = await open();
	const [now, before] = [store.catalog!.release, store.previous!.release];
	const back = () => rollBack(store, ledger, config, null);
	await expect(back()).rejects.toMatchObject({ errors: expect.arrayContaining([{ code: "E_ROLLBACK" }].map(like)) });
	await plan(now, before, vendor); // the release key plans nothing
	await expect(ledger.accept(config.content)).rejects.toMatchObject({ code: "E_STATEMENT" });
	await plan("a".repeat(64), before); // planned for a box with another release
	await ledger.accept(config.content);
	await expect(back()).rejects.toMatchObject({ errors: expect.arrayContaining([{ code: "E_ROLLBACK" }].map(like)) });
	expect((await open()).store.catalog?.release).toBe(now);

	await rm(join(config.store, "state/trust/statements"), { recursive: true });
	await plan(now, before);
	const planned = (await open()).ledger;
	await planned.accept(config.content);
	expect((await rollBack(store, planned, config, null)).release.digest).toBe(before);
	await rename(config.content, `${config.content}-away`);
	const status = await run();
	expect([status.release?.digest, status.bundles.map((b) => b.names), status.missingBlobs]).toEqual([
		before,
		[["a.local/app:1"]],
		[],
	]);
});

const like = (object: object) => expect.objectContaining(object);

test("a kept release that is not whole, or not there, is not gone back to", async () => {
	const { config, open, plan } = await twoReleases();
	const { store, ledger } = await open();
	const [now, before] = [store.catalog!.release, store.previous!.release];
	await plan(now, before);
	await ledger.accept(config.content);
	const [lost] = Object.keys(store.previous!.blobs).filter((digest) => !(digest in store.catalog!.blobs));
	await store.quarantine(lost!);
	await expect(rollBack(store, ledger, config, null)).rejects.toMatchObject({ code: "E_BLOB_MISSING" });
	expect(store.catalog?.release).toBe(now);
	await store.forgetPrevious();
	await expect(rollBack(store, ledger, config, null)).rejects.toMatchObject({ code: "E_BLOB_MISSING" });
});
