import { createHash } from "node:crypto";
import { blobPath, sha256Hex } from "../../bundle/digest.ts";
import type { BundleIndex, NameRecord } from "../../bundle/index-schema.ts";
import { encodeLayoutIndex } from "../../bundle/layout.ts";
import { OCI_LAYOUT } from "../../bundle/oci.ts";
import { END_SIZE, headerLength, paddingOf, type TarEntry, tarHeader } from "../../bundle/tar.ts";
import type { Forgery } from "./forge.ts";

/** What a bundle is to hold. Nothing is checked: digests, names and manifests may be anything. */
export interface Layout {
	readonly names: readonly NameRecord[];
	/** In the order of the tar. Without a digest, the right one. */
	readonly blobs: readonly { readonly data: Buffer; readonly digest?: string }[];
	readonly ociLayout?: Buffer;
	readonly indexJson?: Buffer;
}

/** A forgery whose tar and index hold exactly this and agree with each other. At most 8 MiB in all. */
export function layOut({
	names,
	blobs,
	ociLayout = OCI_LAYOUT,
	indexJson = encodeLayoutIndex(names),
}: Layout): Forgery {
	const parts: Buffer[] = [];
	let at = 0;
	const add = (entry: TarEntry, data: Buffer): number => {
		parts.push(tarHeader(entry), data, Buffer.alloc(paddingOf(data.length)));
		const tarOffset = at + headerLength(entry);
		at = tarOffset + data.length + paddingOf(data.length);
		return tarOffset;
	};
	const file = (name: "oci-layout" | "index.json", data: Buffer): BundleIndex["files"][number] => ({
		name,
		sha256: sha256Hex(data),
		size: data.length,
		tarOffset: add({ name, size: data.length }, data),
	});
	const files = [file("oci-layout", ociLayout), file("index.json", indexJson)];
	const records = blobs.map(({ data, digest = sha256Of(data) }) => ({
		digest,
		size: data.length,
		tarOffset: add({ name: blobPath(digest), size: data.length }, data),
		frame: 0,
	}));
	const tar = Buffer.concat([...parts, Buffer.alloc(END_SIZE)]);
	return {
		tar: () => tar,
		index: (index) => {
			Object.assign(index, { names, files, blobs: records });
			index.packs[0]!.names = names.map((n) => n.ref);
		},
	};
}

export function sha256Of(data: Buffer): string {
	return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}
