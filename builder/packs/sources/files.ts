import path from "node:path";
import type { Descriptor } from "../../oci/image.ts";
import { writeArtifact } from "../../oci/image.ts";
import { nameOf, type PackContext, repository, type SourceResult } from "../context.ts";
import type { PackOf } from "../definition.ts";
import { localFiles } from "../local-files.ts";

const TITLE = "org.opencontainers.image.title";

/** Brings a file, or the files of a folder, as one OCI artifact: a layer for each file, its path in the title. Errors: E_PACK. */
export async function buildFiles(pack: PackOf<"files">, context: PackContext): Promise<SourceResult> {
	const { bundle, fips, blobs, folder } = context;
	const layers: Descriptor[] = [];
	for (const { name, file } of await localFiles(pack.name, path.resolve(folder, pack.path))) {
		const blob = await blobs.putFile(file);
		layers.push({ mediaType: "application/octet-stream", ...blob, annotations: { [TITLE]: name } });
	}
	const version = pack.version ?? bundle.version;
	const artifact = await writeArtifact(blobs, { artifactType: pack.artifactType, layers });
	const names = [nameOf(`${repository(bundle.name, fips, pack.name)}:${version}`, artifact)];
	return {
		pack: { name: pack.name, version, layer: pack.layer, arch: "any", fips: "n/a", licence: pack.licence, names },
		exceptions: [],
	};
}
