import { request } from "node:http";
import { expect, test } from "vitest";
import { SlipwayError } from "../../bundle/errors.ts";
import { MEDIA_TYPE } from "../../bundle/oci.ts";
import { BLOB, blobs, NGINX, names } from "../../test/support/conformance.ts";
import { type Ask, MemoryBlobs, record, serveView } from "../../test/support/memory-registry.ts";
import { buildView } from "./build-view.ts";

/** What the registry does beyond the specification's rows, which stand in conformance-*.test.ts. */

const code = (body: Buffer) => JSON.parse(body.toString()).errors[0].code;

test("before anything is verified no name answers", async () => {
	const { ask } = await serveView(() => undefined, blobs);
	for (const path of ["/v2/_catalog", `/v2/${NGINX}/tags/list`, `/v2/${NGINX}/manifests/1.27`, BLOB]) {
		const { status, headers, body } = await ask(`GET ${path}`);
		expect([path, status, headers["retry-after"], code(body)]).toEqual([path, 503, "5", "UNAVAILABLE"]);
	}
	expect((await ask("GET /v2/")).status).toBe(200);
});

test.each([
	["E_DIGEST_MISMATCH", 503, "UNAVAILABLE"],
	["E_IO", 503, "UNAVAILABLE"],
	["E_INTERNAL", 500, "UNKNOWN"],
] as const)(
	"a source that fails with %s before its first byte: %d in the spec's form",
	async (fault, status, wanted) => {
		const view = await buildView(names, blobs);
		const source = new MemoryBlobs();
		for (const [digest, bytes] of blobs.stored) source.stored.set(digest, bytes);
		source.onPiece = () => {
			throw new SlipwayError(fault, "It cannot be read.");
		};
		const { ask } = await serveView(() => view, source);
		for (const [line, headers] of [
			[`GET ${BLOB}`, {}],
			[`GET ${BLOB}`, { range: "bytes=2-4" }],
			[`GET /v2/${NGINX}/manifests/1.27`, {}],
		] as const) {
			const answer = await ask(line, headers);
			expect([line, answer.status]).toEqual([line, status]);
			expect(answer.headers["content-type"]).toMatch(/^application\/json/);
			for (const header of ["etag", "docker-content-digest", "content-range"]) {
				expect(answer.headers[header]).toBeUndefined();
			}
			expect(answer.headers["retry-after"]).toBe(status === 503 ? "5" : undefined);
			expect(JSON.parse(answer.body.toString())).toMatchObject({ errors: [{ code: wanted, detail: { code: fault } }] });
		}
	},
);

test("a source that fails later: the answer is never whole, and the next request is served", async () => {
	const source = new MemoryBlobs();
	const big = source.put(Buffer.alloc(1 << 20, "x"), "application/octet-stream");
	const config = source.put("{}", MEDIA_TYPE.ociConfig);
	const manifest = source.putDocument({ config, layers: [big] }, MEDIA_TYPE.ociManifest);
	const view = await buildView([record("a.example/big:1", manifest)], source);
	const { ask } = await serveView(() => view, source);
	const path = `/v2/a.example/big/blobs/${big.digest}`;
	let left = 3;
	source.onPiece = () => {
		if (left-- === 0) throw new SlipwayError("E_IO", "The disk is gone.");
	};
	const answer = await ask(`GET ${path}`, { connection: "keep-alive" }); // it would wait for the rest
	expect(answer.broken).toBeDefined();
	expect(answer.body.length).toBeLessThan(big.size);
	source.onPiece = () => {};
	expect((await ask(`GET ${path}`)).body.equals(source.stored.get(big.digest)!)).toBe(true);
});

test.each([-1, 1])(
	"a source that gives %d byte more than it should: the connection ends with that answer",
	async (more) => {
		const source = new MemoryBlobs();
		const big = source.put(Buffer.alloc(300_000, "x"), "application/octet-stream");
		const config = source.put("{}", MEDIA_TYPE.ociConfig);
		const manifest = source.putDocument({ config, layers: [big] }, MEDIA_TYPE.ociManifest);
		const view = await buildView([record("a.example/big:1", manifest)], source);
		source.stored.set(big.digest, Buffer.alloc(big.size + more, "x"));
		const { stream } = source;
		source.stream = (digest, size, start) => stream.call(source, digest, size, start, size + more);
		const { ask } = await serveView(() => view, source);
		const answer = await ask(`GET /v2/a.example/big/blobs/${big.digest}`, { connection: "keep-alive" });
		expect(answer.broken).toBeDefined();
		expect(answer.body.length).toBeLessThan(big.size);
	},
	10_000,
);

test("a client that goes away ends the reading: nothing is asked of the source any more", async () => {
	const source = new MemoryBlobs();
	source.piece = 1 << 20;
	const big = source.put(Buffer.alloc(64 << 20), "application/octet-stream");
	const config = source.put("{}", MEDIA_TYPE.ociConfig);
	const manifest = source.putDocument({ config, layers: [big] }, MEDIA_TYPE.ociManifest);
	const view = await buildView([record("a.example/big:1", manifest)], source);
	let pieces = 0;
	let ended = false;
	const { stream } = source;
	source.stream = async (...args) => {
		const inner = await stream.apply(source, args);
		return (async function* () {
			try {
				yield* inner;
			} finally {
				ended = true;
			}
		})();
	};
	source.onPiece = () => pieces++;
	const { port } = await serveView(() => view, source);
	const path = `/v2/a.example/big/blobs/${big.digest}`;
	const sent = request({ host: "127.0.0.1", port, path }, (response) => response.once("data", () => sent.destroy()));
	sent.on("error", () => undefined).end();
	await expect.poll(() => ended).toBe(true);
	expect(pieces).toBeGreaterThan(0);
	expect(pieces).toBeLessThan(64);
});

test("a blob is only visible in repositories whose names lead to it", async () => {
	const source = new MemoryBlobs();
	const config = source.put("{}", MEDIA_TYPE.ociConfig);
	const secret = source.put("secret", "text/plain");
	const [one, two] = [[secret], []].map((layers) => source.putDocument({ config, layers }, MEDIA_TYPE.ociManifest));
	const view = await buildView([record("a.example/one:1", one!), record("a.example/two:1", two!)], source);
	const { ask } = await serveView(() => view, source);
	const status = async (repo: string) => (await ask(`GET /v2/a.example/${repo}/blobs/${secret.digest}`)).status;
	expect([await status("one"), await status("two")]).toEqual([200, 404]);
});

test("a request for another host's name is refused (DNS rebinding), whatever it asks for", async () => {
	const view = await buildView(names, blobs);
	const { ask } = await serveView(() => view, blobs);
	const asks: Parameters<Ask>[0][] = ["GET /v2/_catalog", `GET ${BLOB}`, `PUT ${BLOB}`, "GET /v2/no/such"];
	for (const line of asks) {
		const answer = await ask(line, { host: "evil.example:5000" });
		expect([line, answer.status, code(answer.body)]).toEqual([line, 421, "DENIED"]);
	}
});
