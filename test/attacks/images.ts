import { MEDIA_TYPE } from "../../bundle/oci.ts";
import { seededBytes } from "../support/bundles.ts";
import { sha256Of } from "../support/lay-out.ts";

export interface Parts {
	/** Config and layers. */
	readonly blobs: readonly { data: Buffer }[];
	/** A right manifest of them, as an object and as bytes. */
	readonly value: Record<string, unknown> & { layers: Record<string, unknown>[]; config: Record<string, unknown> };
	readonly manifest: Buffer;
}

/** A small image whose manifest an attack can write anew. */
export function imageParts(seed: string): Parts {
	const layer = seededBytes(seed, 700);
	const config = Buffer.from(
		JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } }),
	);
	const describe = (data: Buffer, mediaType: string) => ({ mediaType, digest: sha256Of(data), size: data.length });
	const value = {
		schemaVersion: 2,
		mediaType: MEDIA_TYPE.ociManifest,
		config: describe(config, MEDIA_TYPE.ociConfig),
		layers: [describe(layer, "application/vnd.oci.image.layer.v1.tar+gzip")],
	};
	return { blobs: [{ data: config }, { data: layer }], value, manifest: Buffer.from(JSON.stringify(value)) };
}
