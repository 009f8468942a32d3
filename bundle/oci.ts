import { SlipwayError } from "./errors.ts";
import { digest, isDigestIssue } from "./index-schema.ts";
import { parseStrictJson } from "./strict-json.ts";
import { z } from "./zod.ts";

/** Media types of OCI image-spec 1.1, and the two of Docker that registries still hand out. */
export const MEDIA_TYPE = {
	ociManifest: "application/vnd.oci.image.manifest.v1+json",
	ociIndex: "application/vnd.oci.image.index.v1+json",
	ociConfig: "application/vnd.oci.image.config.v1+json",
	ociEmpty: "application/vnd.oci.empty.v1+json",
	dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
	dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
} as const;

/** Annotation of the layout's index.json that carries a name; ours hold the full `host/path:tag`. */
export const REF_NAME = "org.opencontainers.image.ref.name";
export const OCI_LAYOUT = Buffer.from('{"imageLayoutVersion":"1.0.0"}');
export const MAX_MANIFEST = 4 * 1024 * 1024;

const platform = z.looseObject({ os: z.string(), architecture: z.string(), variant: z.string().optional() });
export const descriptor = z.looseObject({
	mediaType: z.string().min(1).max(255),
	digest,
	size: z.int().min(0),
	platform: platform.optional(),
	annotations: z.record(z.string(), z.string()).optional(),
});
const head = {
	schemaVersion: z.literal(2),
	mediaType: z.string().optional(),
	subject: descriptor.optional(),
	artifactType: z.string().optional(),
	annotations: z.record(z.string(), z.string()).optional(),
};
export const imageManifest = z.looseObject({ ...head, config: descriptor, layers: z.array(descriptor) });
export const imageIndex = z.looseObject({ ...head, manifests: z.array(descriptor) });

export type Descriptor = z.infer<typeof descriptor>;
interface Head {
	subject?: Descriptor | undefined;
	artifactType?: string | undefined;
	annotations?: Record<string, string> | undefined;
}
export type Manifest =
	| (Head & { kind: "manifest"; config: Descriptor; layers: Descriptor[] })
	| (Head & { kind: "index"; manifests: Descriptor[] });

export function isIndexType(mediaType: string): boolean {
	return mediaType === MEDIA_TYPE.ociIndex || mediaType === MEDIA_TYPE.dockerList;
}

/** True for everything that has children: image manifests and image indexes. */
export function isManifestType(mediaType: string): boolean {
	return isIndexType(mediaType) || mediaType === MEDIA_TYPE.ociManifest || mediaType === MEDIA_TYPE.dockerManifest;
}

/**
 * Parses a manifest or image index as what its descriptor says it is. The body must not claim another type, nor hold both
 * `layers` and `manifests` (CVE-2021-41190: two readers that disagree about what a digest is).
 * Errors: E_LIMIT (over 4 MiB), E_JSON_STRICT, E_DIGEST_FORMAT, E_OCI.
 */
export function parseManifest(bytes: Uint8Array, mediaType: string): Manifest {
	if (bytes.length > MAX_MANIFEST)
		throw new SlipwayError("E_LIMIT", `A manifest has ${bytes.length} bytes; 4 MiB are allowed.`);
	if (!isManifestType(mediaType))
		throw new SlipwayError("E_OCI", `${JSON.stringify(mediaType)} is not a manifest's media type.`);
	const value = parseStrictJson(bytes);
	if (typeof value === "object" && value !== null && "manifests" in value && ("layers" in value || "config" in value)) {
		throw new SlipwayError("E_OCI", "A manifest holds both `manifests` and `layers`.");
	}
	if (isIndexType(mediaType)) {
		const { manifests, subject, artifactType, annotations, mediaType: body } = check(imageIndex, value);
		agree(body, mediaType);
		return { kind: "index", manifests, subject, artifactType, annotations };
	}
	const { config, layers, subject, artifactType, annotations, mediaType: body } = check(imageManifest, value);
	agree(body, mediaType);
	return { kind: "manifest", config, layers, subject, artifactType, annotations };
}

function check<T>(schema: z.ZodType<T>, value: unknown): T {
	const result = schema.safeParse(value);
	if (result.success) return result.data;
	const issue = result.error.issues[0]!;
	const code = isDigestIssue(issue) ? "E_DIGEST_FORMAT" : "E_OCI";
	throw new SlipwayError(code, `A manifest is not valid: ${issue.path.join(".")}: ${issue.message}.`);
}

/** OCI lets the body leave its type out; Docker's and ours have it. */
function agree(body: string | undefined, mediaType: string): void {
	const required = mediaType === MEDIA_TYPE.dockerManifest || mediaType === MEDIA_TYPE.dockerList;
	if (body === undefined ? required : body !== mediaType) {
		throw new SlipwayError(
			"E_OCI",
			`A manifest calls itself ${JSON.stringify(body ?? "nothing")}, its descriptor ${mediaType}.`,
		);
	}
}

/** `os/arch[/variant]` of a child of an image index; undefined where the index does not say. */
export function platformOf(child: Descriptor): string | undefined {
	if (child.platform === undefined) return undefined;
	const { os, architecture, variant } = child.platform;
	return [os, architecture, ...(variant === undefined || variant === "" ? [] : [variant])].join("/");
}
