import { join } from "node:path";
import { expect, test } from "vitest";
import type { ContentRelease } from "../../bundle/index-schema.ts";
import { testSigner, trustOf } from "../../test/support/bundles.ts";
import { tempDir } from "../../test/support/temp.ts";
import { Store } from "../store/store.ts";
import { commitSet } from "./checks.ts";
import { TrustLedger } from "./ledger.ts";
import type { SignedRelease } from "./release.ts";

function release(sequence: number): SignedRelease {
	const payload = { product: "slipway", version: `1.${sequence}`, sequence, bundles: [] } as unknown as ContentRelease;
	return { release: payload, digest: `${sequence}`.padStart(64, "0"), development: false, bytes: Buffer.alloc(0) };
}

test("floors that rose while the bytes were read refuse the commit", async () => {
	const dir = await tempDir();
	const store = await Store.open(join(dir, "store"));
	const ledger = await TrustLedger.open(join(dir, "trust"), trustOf(testSigner()));
	const commit = (sequence: number) => commitSet(ledger, store, { release: release(sequence), candidates: [] }, {});
	ledger.checkFloors(release(8), []);
	await ledger.raise(release(9), []); // a set in place was proved meanwhile
	await expect(commit(8)).rejects.toMatchObject({ errors: [expect.objectContaining({ code: "E_ROLLBACK" })] });
	expect(store.catalog).toBeUndefined();
	await commit(9);
	expect(store.catalog?.release).toBe(release(9).digest);
});
