import { Readable } from "node:stream";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { sha256Hex } from "../../bundle/digest.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import type { NameRecord } from "../../bundle/index-schema.ts";
import { MEDIA_TYPE } from "../../bundle/oci.ts";
import { listen } from "../http/app.ts";
import { buildView } from "./build-view.ts";
import type { BlobSource } from "./lookup.ts";
import { createRegistry } from "./registry.ts";
import type { View } from "./view.ts";

const stored = new Map<string, Buffer>();
/** Set, the source finds every blob damaged: before it gives a stream, or when that is read. */
let damaged: "at once" | "in the stream" | undefined;
const damage = () => new SlipwayError("E_DIGEST_MISMATCH", "The stored blob is damaged.");
const source: BlobSource = {
	read: async (digest) => {
		if (damaged) throw damage();
		return stored.get(digest)!;
	},
	stream: async (digest, _size, start, end) => {
		if (damaged === "at once") throw damage();
		const bytes = stored.get(digest)!.subarray(start, end + 1);
		const parts = async function* () {
			if (damaged) throw damage();
			yield bytes;
		};
		return Readable.from(parts(), { objectMode: false });
	},
};

function put(data: string | object, mediaType: string) {
	const bytes = Buffer.from(typeof data === "string" ? data : JSON.stringify(data));
	const digest = `sha256:${sha256Hex(bytes)}`;
	stored.set(digest, bytes);
	return { mediaType, digest, size: bytes.length };
}

const layer = put("0123456789", "application/vnd.oci.image.layer.v1.tar");
const config = put("{}", MEDIA_TYPE.ociConfig);
const image = put(
	{ schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [layer] },
	MEDIA_TYPE.ociManifest,
);
const absentChild = { ...image, digest: `sha256:${"0".repeat(64)}` };
const multi = put(
	{ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [image, absentChild] },
	MEDIA_TYPE.ociIndex,
);
const sbomType = "application/vnd.cyclonedx+json";
const secret = put("sbom bytes", sbomType);
const sbom = put(
	{
		schemaVersion: 2,
		mediaType: MEDIA_TYPE.ociManifest,
		artifactType: sbomType,
		config,
		layers: [secret],
		subject: image,
	},
	MEDIA_TYPE.ociManifest,
);
const name = (ref: string, d: typeof image, absent: string[] = []): NameRecord => ({
	ref,
	...d,
	platforms: [],
	absent,
});

let view: View | undefined;
let base = "";
const app = createRegistry(
	{ view: () => view, blobs: source },
	{ tls: undefined, hosts: () => ["127.0.0.1"], maxConnections: 10 },
);

beforeAll(async () => {
	view = await buildView(
		[
			name("docker.io/library/nginx:1.27", image),
			name("docker.io/library/nginx:latest", multi, [absentChild.digest]),
			name(`docker.io/library/nginx@${sbom.digest}`, sbom),
			name("slipway.local/core/redis:7", image),
		],
		source,
	);
	base = `http://127.0.0.1:${await listen(app, "loopback", 0)}`;
});
afterAll(() => app.close());

const get = (path: string, init: RequestInit = {}) => fetch(base + path, init);
const errorCode = async (response: Response) =>
	((await response.json()) as { errors: { code: string }[] }).errors[0]!.code;

test("a manifest answers to tag and digest with its exact bytes, type and digest, and to HEAD with the same headers", async () => {
	for (const reference of ["1.27", image.digest]) {
		const response = await get(`/v2/docker.io/library/nginx/manifests/${reference}`);
		expect(response.status).toBe(200);
		expect(response.headers.get("content-type")).toBe(image.mediaType);
		expect(response.headers.get("docker-content-digest")).toBe(image.digest);
		expect(response.headers.get("etag")).toBe(`"${image.digest}"`);
		expect(Buffer.from(await response.arrayBuffer())).toEqual(stored.get(image.digest));
		const head = await get(`/v2/docker.io/library/nginx/manifests/${reference}`, { method: "HEAD" });
		expect(head.status).toBe(200);
		expect(head.headers.get("content-length")).toBe(String(image.size));
		expect(head.headers.get("docker-content-digest")).toBe(image.digest);
	}
});

test("containerd's ?ns= means the original host, in every route", async () => {
	expect((await get("/v2/library/nginx/manifests/1.27?ns=docker.io")).status).toBe(200);
	expect((await get(`/v2/library/nginx/blobs/${layer.digest}?ns=docker.io`)).status).toBe(200);
	expect((await get("/v2/library/nginx/manifests/1.27")).status).toBe(404);
	expect((await get("/v2/library/nginx/manifests/1.27?ns=quay.io")).status).toBe(404);
});

test("blobs: whole, HEAD, ranges, and 416 beyond the end", async () => {
	const path = `/v2/docker.io/library/nginx/blobs/${layer.digest}`;
	expect(await (await get(path)).text()).toBe("0123456789");
	const head = await get(path, { method: "HEAD" });
	expect(head.headers.get("content-length")).toBe("10");
	expect(head.headers.get("accept-ranges")).toBe("bytes");
	const cases: [string, number, string, string | null][] = [
		["bytes=0-3", 206, "0123", "bytes 0-3/10"],
		["bytes=7-", 206, "789", "bytes 7-9/10"],
		["bytes=-2", 206, "89", "bytes 8-9/10"],
		["bytes=5-500", 206, "56789", "bytes 5-9/10"],
		["bytes=10-", 416, "", "bytes */10"],
		["bytes=-0", 416, "", "bytes */10"],
		["bytes=5-2", 200, "0123456789", null],
		["bytes=0-1,3-4", 200, "0123456789", null],
	];
	for (const [range, status, body, contentRange] of cases) {
		const response = await get(path, { headers: { range } });
		expect([range, response.status, await response.text(), response.headers.get("content-range")]).toEqual([
			range,
			status,
			body,
			contentRange,
		]);
	}
});

test.each(["at once", "in the stream"] as const)(
	"a damaged blob or manifest is unavailable, in the spec's form: %s",
	async (when) => {
		damaged = when;
		onTestFinished(() => {
			damaged = undefined;
		});
		const path = "/v2/docker.io/library/nginx";
		for (const [url, range] of [
			[`${path}/blobs/${layer.digest}`, undefined],
			[`${path}/blobs/${layer.digest}`, "bytes=2-4"],
			[`${path}/manifests/1.27`, undefined],
		] as const) {
			const response = await get(url, { headers: range ? { range } : {} });
			expect([url, response.status]).toEqual([url, 503]);
			expect(response.headers.get("content-type")).toMatch(/^application\/json/);
			for (const header of ["etag", "docker-content-digest", "content-range"]) {
				expect(response.headers.get(header)).toBeNull();
			}
			expect(response.headers.get("retry-after")).toBe("5");
			expect(await response.json()).toMatchObject({
				errors: [{ code: "UNAVAILABLE", detail: { code: "E_DIGEST_MISMATCH" } }],
			});
		}
	},
);

test("a range of something else than the client holds is not given: it gets the whole", async () => {
	const path = `/v2/docker.io/library/nginx/blobs/${layer.digest}`;
	const ask = (tag: string) => get(path, { headers: { range: "bytes=7-", "if-range": tag } });
	expect(await (await ask(`"${layer.digest}"`)).text()).toBe("789");
	const other = await ask('"sha256:other"');
	expect([other.status, await other.text()]).toEqual([200, "0123456789"]);
});

test("a blob is only visible in repositories whose names lead to it", async () => {
	expect((await get(`/v2/docker.io/library/nginx/blobs/${secret.digest}`)).status).toBe(200);
	const elsewhere = await get(`/v2/slipway.local/core/redis/blobs/${secret.digest}`);
	expect([elsewhere.status, await errorCode(elsewhere)]).toEqual([404, "BLOB_UNKNOWN"]);
	expect((await get(`/v2/slipway.local/core/redis/manifests/${multi.digest}`)).status).toBe(404);
});

test("lists come sorted and in pages", async () => {
	expect(await (await get("/v2/docker.io/library/nginx/tags/list")).json()).toEqual({
		name: "docker.io/library/nginx",
		tags: ["1.27", "latest"],
	});
	const first = await get("/v2/_catalog?n=1");
	expect(await first.json()).toEqual({ repositories: ["docker.io/library/nginx"] });
	const next = /<([^>]+)>; rel="next"/.exec(first.headers.get("link") ?? "")![1]!;
	const second = await get(next);
	expect(await second.json()).toEqual({ repositories: ["slipway.local/core/redis"] });
	expect(second.headers.get("link")).toBeNull();
	expect((await (await get("/v2/docker.io/library/nginx/tags/list?n=0")).json()) as unknown).toEqual({
		name: "docker.io/library/nginx",
		tags: [],
	});
	expect(await errorCode(await get("/v2/_catalog?n=x"))).toBe("PAGINATION_NUMBER_INVALID");
});

test("referrers list what refers to a manifest, filtered by artifactType when asked", async () => {
	const path = `/v2/docker.io/library/nginx/referrers/${image.digest}`;
	const all = await get(path);
	expect(all.headers.get("content-type")).toBe(MEDIA_TYPE.ociIndex);
	expect(((await all.json()) as { manifests: object[] }).manifests).toEqual([
		{ mediaType: sbom.mediaType, digest: sbom.digest, size: sbom.size, artifactType: sbomType },
	]);
	const filtered = await get(`${path}?artifactType=other`);
	expect(filtered.headers.get("oci-filters-applied")).toBe("artifactType");
	expect(((await filtered.json()) as { manifests: object[] }).manifests).toEqual([]);
	expect(
		((await (await get(`/v2/slipway.local/core/redis/referrers/${image.digest}`)).json()) as { manifests: object[] })
			.manifests,
	).toEqual([]);
});

test("errors have the spec's codes, and every verb that writes is refused", async () => {
	const cases: [string, string, number, string][] = [
		["GET", "/v2/no/such/manifests/1", 404, "NAME_UNKNOWN"],
		["GET", "/v2/UPPER/manifests/1", 400, "NAME_INVALID"],
		["GET", "/v2/docker.io/library/nginx/manifests/none", 404, "MANIFEST_UNKNOWN"],
		["GET", "/v2/docker.io/library/nginx/manifests/sha256:00", 400, "DIGEST_INVALID"],
		["GET", "/v2/docker.io/library/nginx/blobs/sha256:zz", 400, "DIGEST_INVALID"],
		["GET", "/v2/docker.io/library/nginx/blobs/..%2f..%2fetc", 400, "DIGEST_INVALID"],
		["PUT", "/v2/docker.io/library/nginx/manifests/1", 405, "UNSUPPORTED"],
		["POST", "/v2/docker.io/library/nginx/blobs/uploads/", 405, "UNSUPPORTED"],
		["PATCH", "/v2/x/blobs/uploads/1", 405, "UNSUPPORTED"],
		["DELETE", `/v2/docker.io/library/nginx/manifests/${image.digest}`, 405, "UNSUPPORTED"],
	];
	for (const [method, path, status, code] of cases) {
		const body = method === "PUT" || method === "POST" ? { body: "x".repeat(1000) } : {};
		const response = await get(path, { method, ...body });
		expect([method, path, response.status, await errorCode(response)]).toEqual([method, path, status, code]);
	}
	expect((await get("/v2/")).status).toBe(200);
});

test("before anything is verified no name answers", async () => {
	const kept = view;
	view = undefined;
	try {
		for (const path of [
			"/v2/_catalog",
			"/v2/docker.io/library/nginx/tags/list",
			"/v2/docker.io/library/nginx/manifests/1.27",
		]) {
			const response = await get(path);
			expect([response.status, await errorCode(response)]).toEqual([503, "UNAVAILABLE"]);
		}
	} finally {
		view = kept;
	}
});

test("a request for another host's name is refused (DNS rebinding)", async () => {
	const { request } = await import("node:http");
	const status = await new Promise((resolve, reject) => {
		const { port } = new URL(base);
		request({ host: "127.0.0.1", port, path: "/v2/_catalog", headers: { host: "evil.example:5000" } }, (response) => {
			response.resume();
			resolve(response.statusCode);
		})
			.on("error", reject)
			.end();
	});
	expect(status).toBe(421);
});
