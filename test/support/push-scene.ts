import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { buildView } from "../../agent/registry/build-view.ts";
import type { BlobSource } from "../../agent/registry/lookup.ts";
import type { View } from "../../agent/registry/view.ts";
import { blobFile } from "../../bundle/contents.ts";
import type { NameRecord } from "../../bundle/index-schema.ts";
import { MEDIA_TYPE } from "../../bundle/oci.ts";
import { nameOf, putImage, putIndex, putJson, seededBytes } from "./bundles.ts";
import { tempDir } from "./temp.ts";

/** Images of every shape that a set may hold, as the registry would show them, for tests of the push. */
export interface PushScene {
	readonly view: View;
	readonly blobs: BlobSource;
	readonly folder: string;
	readonly names: readonly NameRecord[];
	/** The image that the signature is about, and the signature. */
	readonly subject: string;
	readonly signature: string;
}

const PIECE = 1000;

/** Blobs of a folder. Its pieces share one buffer, as a source's may: who keeps one to the next sees it change. */
export function folderSource(blobDir: string): BlobSource {
	return {
		read: async (digest) => readFile(blobFile(blobDir, digest)),
		stream: async (digest, _size, start, end) =>
			(async function* () {
				const bytes = (await readFile(blobFile(blobDir, digest))).subarray(start, end + 1);
				const shared = Buffer.alloc(PIECE);
				for (let at = 0; at < bytes.length; at += PIECE) {
					const size = bytes.copy(shared, 0, at, at + PIECE);
					yield shared.subarray(0, size);
					shared.fill(0);
				}
			})(),
	};
}

/**
 * Two repositories with a layer in common, one name with several tags, a multi-arch index (with `sparse`, one of its two
 * platforms is left out), a signature that refers to an image, and a name with a port.
 */
export async function pushScene(options: { sparse?: boolean; layer?: number } = {}): Promise<PushScene> {
	const folder = await tempDir();
	const blobDir = join(folder, "blobs");
	await mkdir(blobDir);
	const layers = [options.layer ?? 5000, 10];
	const one = await putImage(blobDir, { seed: "one", layers });
	const twin = await putImage(blobDir, { seed: "one", layers, architecture: "arm64" });
	const [amd64, arm64] = await Promise.all(
		["amd64", "arm64"].map((architecture) => putImage(blobDir, { seed: `multi ${architecture}`, architecture })),
	);
	const multi = await putIndex(blobDir, [
		{ arch: "amd64", image: amd64! },
		{ arch: "arm64", image: arm64! },
	]);
	const signature = await putJson(
		blobDir,
		{
			schemaVersion: 2,
			mediaType: MEDIA_TYPE.ociManifest,
			artifactType: "application/vnd.example.signature",
			config: await putJson(blobDir, {}, MEDIA_TYPE.ociEmpty),
			layers: [await putJson(blobDir, { signed: seededBytes("signature", 20).toString("hex") }, "text/json")],
			subject: one,
			annotations: { "org.example.key": "value" },
		},
		MEDIA_TYPE.ociManifest,
	);
	const names = [
		nameOf("docker.io/library/one:1.0", one),
		nameOf("docker.io/library/one:latest", one),
		nameOf(`docker.io/library/one@${signature.digest}`, signature),
		nameOf("127.0.0.1:5000/team/twin:1", twin),
		nameOf("slipway.local/multi:2", multi, options.sparse === true ? [arm64!.digest] : []),
	];
	const blobs = folderSource(blobDir);
	const view = await buildView(names, blobs);
	return { view, blobs, folder, names, subject: one.digest, signature: signature.digest };
}
