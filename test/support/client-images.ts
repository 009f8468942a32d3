import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { BlobFolder } from "../../builder/oci/blob-folder.ts";
import { FileTree } from "../../builder/oci/file-tree.ts";
import { type Descriptor, writeArtifact, writeImage } from "../../builder/oci/image.ts";
import { writeLayer } from "../../builder/oci/layer.ts";
import type { NameRecord } from "../../bundle/index-schema.ts";
import { nameOf, putIndex } from "./bundles.ts";
import { tempDir } from "./temp.ts";

export const SBOM_TYPE = "application/vnd.example.sbom+json";
export const SBOM_TEXT = '{"sbom":"of nginx"}';
/** What the file `/app` of each image says. */
export const appText = (name: string, arch: string) => `${name} ${arch}\n`;

/** Images that clients can unpack: one alone, one for two architectures, one whose second was left out, and an SBOM of the first. */
export interface ClientImages {
	readonly nginx: Descriptor;
	readonly multi: Pick<Descriptor, "digest">;
	readonly sparse: Pick<Descriptor, "digest">;
	readonly absent: Descriptor;
	readonly sbom: Descriptor;
	readonly names: readonly NameRecord[];
	/** Every blob by digest, the absent one not. */
	readonly blobs: ReadonlyMap<string, Buffer>;
}

export const NGINX = "docker.io/library/nginx";
export const MULTI = "quay.io/team/multi";
export const SPARSE = "quay.io/team/sparse";

export async function putClientImages(blobDir: string): Promise<ClientImages> {
	const folder = new BlobFolder(blobDir);
	const nginx = await putApp(folder, "nginx", "amd64");
	const arm64 = await putApp(folder, "multi", "arm64");
	const multi = await putIndex(blobDir, [
		{ arch: "amd64", image: await putApp(folder, "multi", "amd64") },
		{ arch: "arm64", image: arm64 },
	]);
	const absent = await putApp(new BlobFolder(await tempDir()), "sparse", "arm64");
	const sparse = await putIndex(blobDir, [
		{ arch: "amd64", image: nginx },
		{ arch: "arm64", image: absent },
	]);
	const title = { "org.opencontainers.image.title": "sbom.json" };
	const file = { mediaType: SBOM_TYPE, ...(await folder.put(Buffer.from(SBOM_TEXT))), annotations: title };
	const sbom = await writeArtifact(folder, { artifactType: SBOM_TYPE, layers: [file], subject: nginx });
	const names = [
		...[nameOf(`${NGINX}:1.27`, nginx), nameOf(`${NGINX}:latest`, nginx), nameOf(`${NGINX}@${sbom.digest}`, sbom)],
		...[nameOf(`${MULTI}:1`, multi), nameOf(`${SPARSE}:1`, sparse, [absent.digest])],
	];
	return { nginx, multi, sparse, absent, sbom, names, blobs: await readBlobs(join(blobDir, "sha256")) };
}

/** An image with one gzip layer that holds the file `/app`. */
async function putApp(blobs: BlobFolder, name: string, architecture: string): Promise<Descriptor> {
	const tree = new FileTree();
	tree.set("app", { type: "file", mode: 0o755, uid: 0, gid: 0, content: Buffer.from(appText(name, architecture)) });
	tree.set("padding", { type: "file", mode: 0o644, uid: 0, gid: 0, content: Buffer.alloc(3_000_000, name) });
	return writeImage(blobs, await writeLayer(blobs, tree.entries(), 0), {
		...{ architecture, created: "2026-01-01T00:00:00Z", user: "1", entrypoint: ["/app"], cmd: [], env: {} },
		...{ ports: [], volumes: [], workingDir: "/", stopSignal: undefined, labels: {}, comment: "" },
	});
}

async function readBlobs(folder: string): Promise<Map<string, Buffer>> {
	const blobs = new Map<string, Buffer>();
	for (const hex of await readdir(folder)) blobs.set(`sha256:${hex}`, await readFile(join(folder, hex)));
	return blobs;
}

/** Digests of everything that one manifest names, itself included. */
export function partsOf(blobs: ReadonlyMap<string, Buffer>, digest: string): string[] {
	const {
		config,
		layers = [],
		manifests = [],
	} = JSON.parse(blobs.get(digest)!.toString()) as {
		[key in "layers" | "manifests"]?: Descriptor[];
	} & { config?: Descriptor };
	const leaves = [...(config ? [config] : []), ...layers].map((d) => d.digest);
	return [digest, ...leaves, ...manifests.flatMap((d) => (blobs.has(d.digest) ? partsOf(blobs, d.digest) : []))];
}
