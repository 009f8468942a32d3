import { MEDIA_TYPE } from "../../bundle/oci.ts";
import {
	absent,
	BLOB,
	bytes,
	config,
	docker,
	empty,
	image,
	image512,
	inner,
	layer,
	layer512,
	NGINX,
	type Row,
	sbom,
	sparse,
	testRows,
} from "../../test/support/conformance.ts";

testRows({
	"Determining support": {
		"end-1 answers 200": { ask: "GET /v2/", status: 200, has: { "docker-distribution-api-version": "registry/2.0" } },
		"HEAD of end-1 too": { ask: "HEAD /v2/", status: 200 },
	},
	"Pulling manifests": {
		"by tag: the exact bytes, their type and digest": {
			ask: `GET /v2/${NGINX}/manifests/1.27`,
			status: 200,
			has: {
				"content-type": MEDIA_TYPE.ociManifest,
				"docker-content-digest": image.digest,
				"content-length": image.size,
			},
			body: bytes(image),
		},
		"by digest": {
			ask: `GET /v2/${NGINX}/manifests/${image.digest}`,
			status: 200,
			has: { "content-type": MEDIA_TYPE.ociManifest, "docker-content-digest": image.digest },
			body: bytes(image),
		},
		"a digest with an escaped colon is the same": {
			ask: `GET /v2/${NGINX}/manifests/${image.digest.replace(":", "%3A")}`,
			status: 200,
			body: bytes(image),
		},
		"an image index": {
			ask: `GET /v2/${NGINX}/manifests/multi`,
			status: 200,
			has: { "content-type": MEDIA_TYPE.ociIndex, "docker-content-digest": sparse.digest },
			body: bytes(sparse),
		},
		"an index inside an index": { ask: `GET /v2/${NGINX}/manifests/${inner.digest}`, status: 200, body: bytes(inner) },
		"a manifest of Docker's keeps its type": {
			ask: "GET /v2/quay.io/a/docker/manifests/1",
			status: 200,
			has: { "content-type": MEDIA_TYPE.dockerManifest },
			body: bytes(docker),
		},
		"Accept with other types: the stored bytes as they are": {
			ask: `GET /v2/${NGINX}/manifests/1.27`,
			with: { accept: MEDIA_TYPE.dockerManifest },
			status: 200,
			has: { "content-type": MEDIA_TYPE.ociManifest },
			body: bytes(image),
		},
		"sha512: the digest of the answer has the manifest's algorithm": {
			ask: "GET /v2/quay.io/a/big/manifests/1",
			status: 200,
			has: { "docker-content-digest": image512.digest },
			body: bytes(image512),
		},
		"sha512: by digest": {
			ask: `GET /v2/quay.io/a/big/manifests/${image512.digest}`,
			status: 200,
			body: bytes(image512),
		},
		"an artifact with a subject": { ask: `GET /v2/${NGINX}/manifests/${sbom.digest}`, status: 200, body: bytes(sbom) },
		"a manifest that is not there: 404": {
			ask: `GET /v2/${NGINX}/manifests/none`,
			status: 404,
			code: "MANIFEST_UNKNOWN",
		},
		"a digest that is not there: 404": {
			ask: `GET /v2/${NGINX}/manifests/sha256:${"1".repeat(64)}`,
			status: 404,
			code: "MANIFEST_UNKNOWN",
		},
		"a child that a sparse index lists and nobody carries: 404, and it says so": {
			ask: `GET /v2/${NGINX}/manifests/${absent.digest}`,
			status: 404,
			code: "MANIFEST_UNKNOWN",
			body: /"carried":false/.source,
		},
		"what another repository holds is not here": {
			ask: `GET /v2/${NGINX}/manifests/${docker.digest}`,
			status: 404,
			code: "MANIFEST_UNKNOWN",
		},
		"a repository that is not there: 404": {
			ask: "GET /v2/no/such/manifests/1",
			status: 404,
			code: "NAME_UNKNOWN",
		},
		"who has it already gets 304": {
			ask: `GET /v2/${NGINX}/manifests/1.27`,
			with: { "if-none-match": `"x", W/"${image.digest}"` },
			status: 304,
			has: { etag: `"${image.digest}"` },
			body: "",
		},
		"who has another gets it": {
			ask: `GET /v2/${NGINX}/manifests/1.27`,
			with: { "if-none-match": `"${sparse.digest}"` },
			status: 200,
		},
	},
	"Pulling blobs": {
		"by digest": {
			ask: `GET ${BLOB}`,
			status: 200,
			has: { "docker-content-digest": layer.digest, "content-length": 10, "content-type": "application/octet-stream" },
			body: "0123456789",
		},
		"a config": { ask: `GET /v2/${NGINX}/blobs/${config.digest}`, status: 200, body: "{}" },
		"an empty blob": {
			ask: `GET /v2/${NGINX}/blobs/${empty.digest}`,
			status: 200,
			has: { "content-length": 0 },
			body: "",
		},
		sha512: {
			ask: `GET /v2/quay.io/a/big/blobs/${layer512.digest}`,
			status: 200,
			has: { "docker-content-digest": layer512.digest },
			body: "sha-512",
		},
		"a manifest is a blob as well": { ask: `GET /v2/${NGINX}/blobs/${image.digest}`, status: 200, body: bytes(image) },
		"a blob that is not there: 404": {
			ask: `GET /v2/${NGINX}/blobs/sha256:${"1".repeat(64)}`,
			status: 404,
			code: "BLOB_UNKNOWN",
		},
		"a repository that is not there: 404": {
			ask: `GET /v2/no/such/blobs/${layer.digest}`,
			status: 404,
			code: "NAME_UNKNOWN",
		},
		"a blob of another repository is not here": {
			ask: `GET /v2/quay.io/a/docker/blobs/${layer512.digest}`,
			status: 404,
			code: "BLOB_UNKNOWN",
		},
		"ranges are offered": { ask: `HEAD ${BLOB}`, status: 200, has: { "accept-ranges": "bytes" } },
		...ranges({
			"bytes=0-0": [0, 0],
			"bytes=0-3": [0, 3],
			"bytes=9-9": [9, 9],
			"bytes=7-": [7, 9],
			"bytes=0-": [0, 9],
			"bytes=-2": [8, 9],
			"bytes=-500": [0, 9],
			"bytes=5-500": [5, 9],
			"bytes=5-99999999999999999999": [5, 9],
			"bytes=10-": "beyond",
			"bytes=500-0500": "beyond",
			"bytes=-0": "beyond",
			"bytes=5-2": "ignored",
			"bytes=0-1,3-4": "ignored",
			"bytes=-": "ignored",
			"bytes=a-b": "ignored",
			"bytes= 0-1": "ignored",
			"lines=0-1": "ignored",
		}),
		"a range of an empty blob: 416": {
			ask: `GET /v2/${NGINX}/blobs/${empty.digest}`,
			with: { range: "bytes=0-" },
			status: 416,
			has: { "content-range": "bytes */0" },
		},
		"If-Range with the blob's own tag counts": {
			ask: `GET ${BLOB}`,
			with: { range: "bytes=7-", "if-range": `"${layer.digest}"` },
			status: 206,
			body: "789",
		},
		...Object.fromEntries(
			['"sha256:other"', `W/"${layer.digest}"`, "Sun, 06 Nov 2044 08:49:37 GMT"].map((tag) => [
				`If-Range ${tag}: the whole blob`,
				{ ask: `GET ${BLOB}`, with: { range: "bytes=7-", "if-range": tag }, status: 200, body: "0123456789" },
			]),
		),
		"If-None-Match *: 304": { ask: `GET ${BLOB}`, with: { "if-none-match": "*" }, status: 304, body: "" },
		"If-None-Match goes before Range": {
			ask: `GET ${BLOB}`,
			with: { "if-none-match": `"${layer.digest}"`, range: "bytes=0-1" },
			status: 304,
		},
		"a range means nothing to HEAD": {
			ask: `HEAD ${BLOB}`,
			with: { range: "bytes=0-1" },
			status: 200,
			has: { "content-length": 10, "content-range": null },
		},
	},
	"Checking if content exists in the registry": {
		"HEAD of a manifest by tag": {
			ask: `HEAD /v2/${NGINX}/manifests/1.27`,
			status: 200,
			has: {
				"content-length": image.size,
				"docker-content-digest": image.digest,
				"content-type": MEDIA_TYPE.ociManifest,
			},
		},
		"HEAD of a manifest by digest": {
			ask: `HEAD /v2/quay.io/a/big/manifests/${image512.digest}`,
			status: 200,
			has: { "content-length": image512.size, "docker-content-digest": image512.digest },
		},
		"HEAD of a blob": {
			ask: `HEAD ${BLOB}`,
			status: 200,
			has: { "content-length": 10, "docker-content-digest": layer.digest },
		},
		"HEAD of a manifest that is not there: 404 without a body": {
			ask: `HEAD /v2/${NGINX}/manifests/none`,
			status: 404,
		},
		"HEAD of a blob that is not there": { ask: `HEAD /v2/${NGINX}/blobs/sha256:${"1".repeat(64)}`, status: 404 },
		"HEAD in a repository that is not there": { ask: "HEAD /v2/no/such/manifests/1", status: 404 },
		"HEAD of a digest that is none: 400": { ask: `HEAD /v2/${NGINX}/blobs/sha256:zz`, status: 400 },
	},
});

function ranges(cases: Record<string, [number, number] | "beyond" | "ignored">): Record<string, Row> {
	const row = (range: string, found: [number, number] | "beyond" | "ignored"): Row => {
		const ask = { ask: `GET ${BLOB}`, with: { range } };
		if (found === "beyond")
			return { ...ask, status: 416, code: "RANGE_INVALID", has: { "content-range": "bytes */10", etag: null } };
		if (found === "ignored") return { ...ask, status: 200, has: { "content-range": null }, body: "0123456789" };
		const [start, end] = found;
		const length = end - start + 1;
		const has = { "content-range": `bytes ${start}-${end}/10`, "content-length": length };
		return { ...ask, status: 206, has, body: "0123456789".slice(start, end + 1) };
	};
	return Object.fromEntries(Object.entries(cases).map(([range, found]) => [`Range ${range}`, row(range, found)]));
}
