import { describe, expect, test } from "vitest";
import { buildView } from "../../agent/registry/build-view.ts";
import { MEDIA_TYPE } from "../../bundle/oci.ts";
import { type Answer, MemoryBlobs, record, serveView } from "./memory-registry.ts";

/**
 * The read side of the OCI distribution-spec 1.1 as tables: section, requirement, the request, and what must come back. The
 * rows run against the real HTTP server over content that has one of everything.
 */

export const blobs = new MemoryBlobs();
export const [sbomType, layerType] = ["application/vnd.cyclonedx+json", "application/vnd.oci.image.layer.v1.tar"];
export const layer = blobs.put("0123456789", layerType);
export const empty = blobs.put("", layerType);
export const config = blobs.put("{}", MEDIA_TYPE.ociConfig);
export const image = blobs.putDocument({ config, layers: [layer, empty] }, MEDIA_TYPE.ociManifest);
export const docker = blobs.putDocument({ config, layers: [layer] }, MEDIA_TYPE.dockerManifest);
export const layer512 = blobs.put("sha-512", layerType, "sha512");
export const image512 = blobs.putDocument({ config, layers: [layer512] }, MEDIA_TYPE.ociManifest, "sha512");
export const absent = { ...image, digest: `sha256:${"0".repeat(64)}` };
export const inner = blobs.putDocument({ manifests: [image] }, MEDIA_TYPE.ociIndex);
export const sparse = blobs.putDocument({ manifests: [inner, absent] }, MEDIA_TYPE.ociIndex);
export const artifact = (artifactType: string | undefined, subject: object, annotations?: object) =>
	blobs.putDocument({ artifactType, config, layers: [layer], subject, annotations }, MEDIA_TYPE.ociManifest);
export const sbom = artifact(sbomType, image, { "org.example.n": "1" });
export const signature = artifact(undefined, image);
export const orphan = artifact(sbomType, absent);
export const sbom512 = artifact(sbomType, image512);

export const NGINX = "docker.io/library/nginx";
export const DEEP = "registry.local:5000/a/b-b/c_c/d__d/e.e/manifests/blobs/tags";
export const names = [
	...["1.27", "Latest", "latest", "_x", "a-B.c", "stable", "10"].map((tag) => record(`${NGINX}:${tag}`, image)),
	record(`${NGINX}:multi`, sparse, [absent.digest]),
	...[sbom, signature, orphan].map((d) => record(`${NGINX}@${d.digest}`, d)),
	record("quay.io/a/docker:1", docker),
	record("quay.io/a/big:1", image512),
	record(`quay.io/a/big@${sbom512.digest}`, sbom512),
	record(`${DEEP}:1`, image),
];
export const TAGS = ["10", "1.27", "_x", "a-B.c", "Latest", "latest", "multi", "stable"].sort(
	(a, b) => Number(a.toLowerCase() > b.toLowerCase()) - Number(a.toLowerCase() < b.toLowerCase()),
);
export const REPOSITORIES = [NGINX, "quay.io/a/big", "quay.io/a/docker", DEEP];

export interface Row {
	readonly ask: string;
	readonly with?: Record<string, string>;
	readonly status: number;
	/** Headers: the value, a pattern, or null for none. */
	readonly has?: Record<string, string | number | RegExp | null>;
	/** The exact bytes, or the error's code. */
	readonly body?: Buffer | string;
	readonly code?: string;
	readonly json?: unknown;
}
export const bytes = (d: { digest: string }) => blobs.stored.get(d.digest)!;
export const described = ({ mediaType, digest, size }: typeof image) => ({ mediaType, digest, size });
export const referrersOf = (...manifests: object[]) => ({
	schemaVersion: 2,
	mediaType: MEDIA_TYPE.ociIndex,
	manifests,
});
export const SBOM = { ...described(sbom), artifactType: sbomType, annotations: { "org.example.n": "1" } };
export const SIGNATURE = { ...described(signature), artifactType: MEDIA_TYPE.ociConfig };
export const byDigest = (a: { digest: string }, b: { digest: string }) => (a.digest < b.digest ? -1 : 1);
export const BLOB = `/v2/${NGINX}/blobs/${layer.digest}`;
export const TAG_LIST = `/v2/${NGINX}/tags/list`;

/** A test for each row. */
export function testRows(sections: Record<string, Record<string, Row>>): void {
	describe.each(Object.entries(sections))("%s", (_, rows) => {
		test.each(Object.entries(rows))("%s", async (_, row) => {
			const view = await buildView(names, blobs);
			const { ask } = await serveView(() => view, blobs);
			const writing = /^(PUT|POST|PATCH)/.test(row.ask);
			check(row, await ask(row.ask, row.with, writing ? "x".repeat(1000) : undefined));
		});
	});
}

function check(row: Row, answer: Answer): void {
	expect(answer.broken).toBeUndefined();
	expect([row.ask, answer.status]).toEqual([row.ask, row.status]);
	for (const [name, wanted] of Object.entries(row.has ?? {})) {
		const got = answer.headers[name];
		if (wanted === null) expect([name, got]).toEqual([name, undefined]);
		else if (wanted instanceof RegExp) expect(got).toMatch(wanted);
		else expect([name, got]).toEqual([name, String(wanted)]);
	}
	if (row.ask.startsWith("HEAD")) {
		expect(answer.body.length).toBe(0);
		return;
	}
	if (row.json !== undefined) expect(JSON.parse(answer.body.toString())).toEqual(row.json);
	if (row.code !== undefined) {
		expect(answer.headers["content-type"]).toMatch(/^application\/json/);
		const { errors } = JSON.parse(answer.body.toString());
		expect(errors).toMatchObject([{ code: row.code, message: expect.stringMatching(/./) }]);
		if (typeof row.body === "string") expect(answer.body.toString()).toContain(row.body);
	} else if (row.body !== undefined) {
		expect(answer.body.toString("latin1")).toBe(Buffer.from(row.body).toString("latin1"));
	}
}
