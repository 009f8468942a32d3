import { expect, test } from "vitest";
import { closeNames, MAX_MANIFESTS } from "./closure.ts";
import { sha256Hex } from "./digest.ts";
import type { NameRecord } from "./index-schema.ts";
import { MAX_MANIFEST, MEDIA_TYPE } from "./oci.ts";

interface Child {
	readonly mediaType: string;
	readonly digest: string;
	readonly size: number;
}

/** Manifests by digest, and how often each was read. */
function makeStore() {
	const stored = new Map<string, Buffer>();
	const reads = new Map<string, number>();
	return {
		reads,
		put: (value: object, mediaType: string): Child => {
			const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...value }));
			const digest = `sha256:${sha256Hex(bytes)}`;
			stored.set(digest, bytes);
			return { mediaType, digest, size: bytes.length };
		},
		read: async ({ digest }: { digest: string }) => {
			reads.set(digest, (reads.get(digest) ?? 0) + 1);
			return stored.get(digest)!;
		},
	};
}

const config = { mediaType: MEDIA_TYPE.ociConfig, digest: `sha256:${"c".repeat(64)}`, size: 2 };
const nameOf = (ref: string, child: Child): NameRecord => ({ ref, ...child, platforms: [], absent: [] });

test("an index that repeats a child on every level costs what one that does not", async () => {
	const store = makeStore();
	const image = store.put({ config, layers: [] }, MEDIA_TYPE.ociManifest);
	let top = image;
	for (let level = 0; level < 4; level++) {
		top = store.put({ manifests: Array(200).fill(top) }, MEDIA_TYPE.ociIndex);
	}
	const closed = (await closeNames([nameOf("a.example/b:1", top)], store.read)).get("a.example/b:1")!;
	expect(closed.blobs.size).toBe(6);
	expect([...store.reads.values()]).toEqual([1, 1, 1, 1, 1]);
});

test("a repeated child that claims another size or type is refused", async () => {
	for (const change of [{ size: 1 }, { mediaType: MEDIA_TYPE.ociIndex }]) {
		const store = makeStore();
		const image = store.put({ config, layers: [] }, MEDIA_TYPE.ociManifest);
		const top = store.put({ manifests: [image, { ...image, ...change }] }, MEDIA_TYPE.ociIndex);
		await expect(closeNames([nameOf("a.example/b:1", top)], store.read)).rejects.toMatchObject({ code: "E_OCI" });
	}
});

test("a long chain is too deep even where the top lists each of its links", async () => {
	const store = makeStore();
	const links = [store.put({ config, layers: [] }, MEDIA_TYPE.ociManifest)];
	for (let i = 0; i < 20; i++) links.unshift(store.put({ manifests: [links[0]] }, MEDIA_TYPE.ociIndex));
	const top = store.put({ manifests: links }, MEDIA_TYPE.ociIndex);
	await expect(closeNames([nameOf("a.example/b:1", top)], store.read)).rejects.toMatchObject({ code: "E_OCI" });
});

test("all manifests together have a limit", async () => {
	const bytes = Buffer.alloc(MAX_MANIFEST, " ");
	bytes.write(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [] }));
	const names = Array.from({ length: MAX_MANIFESTS / MAX_MANIFEST + 1 }, (_, i) =>
		nameOf(`a.example/b:${i}`, {
			mediaType: MEDIA_TYPE.ociManifest,
			digest: `sha256:${String(i).padStart(64, "0")}`,
			size: bytes.length,
		}),
	);
	expect((await closeNames(names.slice(1), async () => bytes)).size).toBe(names.length - 1);
	await expect(closeNames(names, async () => bytes)).rejects.toMatchObject({ code: "E_LIMIT" });
});
