import { MEDIA_TYPE } from "../../bundle/oci.ts";
import type { BlobFolder, Expected } from "./blob-folder.ts";
import type { Layer } from "./layer.ts";

const GZIP_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";

export interface Descriptor extends Expected {
	readonly mediaType: string;
	readonly annotations?: Readonly<Record<string, string>>;
}

/** What a container starts with. */
export interface ImageConfig {
	readonly architecture: string;
	readonly created: string;
	readonly user: string;
	readonly entrypoint: readonly string[];
	readonly cmd: readonly string[];
	readonly env: Readonly<Record<string, string>>;
	readonly ports: readonly string[];
	readonly volumes: readonly string[];
	readonly workingDir: string;
	readonly stopSignal: string | undefined;
	readonly labels: Readonly<Record<string, string>>;
	/** One line for `history`. */
	readonly comment: string;
}

/** Writes an image of one layer (OCI image-spec 1.1, config and manifest) and answers the manifest's descriptor. */
export async function writeImage(blobs: BlobFolder, layer: Layer, config: ImageConfig): Promise<Descriptor> {
	const set = (names: readonly string[]) => Object.fromEntries([...names].sort().map((name) => [name, {}]));
	const configBlob = await putJson(blobs, {
		created: config.created,
		architecture: config.architecture,
		os: "linux",
		config: {
			User: config.user,
			...(config.ports.length > 0 ? { ExposedPorts: set(config.ports) } : {}),
			Env: Object.entries(config.env).map(([key, value]) => `${key}=${value}`),
			Entrypoint: config.entrypoint,
			...(config.cmd.length > 0 ? { Cmd: config.cmd } : {}),
			...(config.volumes.length > 0 ? { Volumes: set(config.volumes) } : {}),
			WorkingDir: config.workingDir,
			Labels: sorted(config.labels),
			...(config.stopSignal === undefined ? {} : { StopSignal: config.stopSignal }),
		},
		rootfs: { type: "layers", diff_ids: [layer.diffId] },
		history: [{ created: config.created, created_by: "slipway", comment: config.comment }],
	});
	return await putManifest(blobs, {
		config: { mediaType: MEDIA_TYPE.ociConfig, ...configBlob },
		layers: [{ mediaType: GZIP_LAYER, digest: layer.digest, size: layer.size }],
		annotations: sorted(config.labels),
	});
}

export interface Artifact {
	readonly artifactType?: string;
	/** Absent: the empty descriptor of image-spec 1.1. */
	readonly config?: Descriptor;
	readonly layers: readonly Descriptor[];
	/** The manifest that this one is about: makes it a referrer. */
	readonly subject?: Descriptor;
	readonly annotations?: Readonly<Record<string, string>>;
}

/** Writes an artifact's manifest (a chart, files, an SBOM as a referrer) and answers its descriptor. */
export async function writeArtifact(blobs: BlobFolder, artifact: Artifact): Promise<Descriptor> {
	const { subject, annotations } = artifact;
	return await putManifest(blobs, {
		...(artifact.artifactType === undefined ? {} : { artifactType: artifact.artifactType }),
		config: artifact.config ?? { mediaType: MEDIA_TYPE.ociEmpty, ...(await blobs.put(Buffer.from("{}"))) },
		layers: artifact.layers,
		...(subject === undefined
			? {}
			: { subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size } }),
		...(annotations === undefined ? {} : { annotations: sorted(annotations) }),
	});
}

/** Puts a JSON document in as one line. */
export async function putJson(blobs: BlobFolder, value: unknown): Promise<Expected> {
	return await blobs.put(Buffer.from(JSON.stringify(value)));
}

async function putManifest(blobs: BlobFolder, manifest: object): Promise<Descriptor> {
	const blob = await putJson(blobs, { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, ...manifest });
	return { mediaType: MEDIA_TYPE.ociManifest, ...blob };
}

function sorted(record: Readonly<Record<string, string>>): Record<string, string> {
	return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}
