import { expect, test } from "vitest";
import { sha256Hex } from "../../bundle/digest.ts";
import type { NameRecord } from "../../bundle/index-schema.ts";
import { MEDIA_TYPE } from "../../bundle/oci.ts";
import { buildView } from "./build-view.ts";

const stored = new Map<string, Buffer>();
function put(value: object, mediaType: string) {
	const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...value }));
	const digest = `sha256:${sha256Hex(bytes)}`;
	stored.set(digest, bytes);
	return { mediaType, digest, size: bytes.length };
}
const source = {
	read: async (digest: string) => stored.get(digest)!,
	stream: async () => {
		throw new Error("not asked for");
	},
};

test("what one bundle leaves out of an index, another may hold; a referrer is listed once", async () => {
	const config = (n: number) => ({ mediaType: MEDIA_TYPE.ociConfig, digest: `sha256:${`${n}`.repeat(64)}`, size: 2 });
	const amd64 = put({ config: config(1), layers: [] }, MEDIA_TYPE.ociManifest);
	const arm64 = put({ config: config(2), layers: [] }, MEDIA_TYPE.ociManifest);
	const sbom = put({ config: config(3), layers: [], subject: amd64 }, MEDIA_TYPE.ociManifest);
	const index = put({ manifests: [amd64, arm64, sbom] }, MEDIA_TYPE.ociIndex);
	const name = (tag: string, absent: string[]): NameRecord => ({
		...index,
		ref: `a.example/b:${tag}`,
		platforms: [],
		absent,
	});
	for (const names of [
		[name("1", [arm64.digest]), name("2", [amd64.digest])],
		[name("2", [amd64.digest]), name("1", [arm64.digest])],
	]) {
		const repo = (await buildView(names, source)).get("a.example/b")!;
		expect([...repo.manifests.keys()].sort()).toEqual([index, amd64, arm64, sbom].map((d) => d.digest).sort());
		expect(repo.referrers.get(amd64.digest)?.map((r) => r.digest)).toEqual([sbom.digest]);
	}
});
