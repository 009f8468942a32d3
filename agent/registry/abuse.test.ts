import { createHash } from "node:crypto";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import fc from "fast-check";
import { expect, test } from "vitest";
import { MEDIA_TYPE } from "../../bundle/oci.ts";
import { BLOB, blobs, image, layer, NGINX, names } from "../../test/support/conformance.ts";
import { MemoryBlobs, record, serveView } from "../../test/support/memory-registry.ts";
import { setting } from "../../test/support/setting.ts";
import { buildView } from "./build-view.ts";

/** Requests that no client of good will sends, as bytes on the wire. `WILD_REQUESTS=` sets how many; fast-check prints the seed. */

/** No more than there is time for. */
const RUNS = Math.min(setting("WILD_REQUESTS", 1000), 50_000);

const segment = fc.oneof(
	fc.constantFrom("v2", "manifests", "blobs", "referrers", "tags", "list", "_catalog", "uploads", "..", ".", ""),
	fc.constantFrom(NGINX, "docker.io", "library", "nginx", "1.27", image.digest, layer.digest, "sha256:0", "sha512:"),
	fc.constantFrom("%00", "%2f", "%2e%2e", "%zz", "%", "%e2%82", "\u00ff", "a".repeat(1500), "a:b", "@", "\\", ";", "*"),
	fc.string({ unit: "grapheme-ascii", maxLength: 12 }).map((s) => s.replace(/[\s?#]/g, "_")),
);
const path = fc.oneof(
	fc.constantFrom(BLOB, `/v2/${NGINX}/manifests/1.27`, `/v2/${NGINX}/tags/list`, "/v2/_catalog", "*", "http://x/v2/"),
	fc.array(segment, { maxLength: 8 }).map((parts) => `/v2/${parts.join("/")}`),
);
const value = fc.oneof(fc.constantFrom("", "0", "-1", "99999999999999999999", "a", "[]", "%00", NGINX), fc.string());
const query = fc.array(
	fc.tuple(fc.constantFrom("n", "last", "ns", "artifactType", "digest", "__proto__", "x[]"), value),
	{
		maxLength: 4,
	},
);
const header = fc.oneof(
	fc.tuple(
		fc.constantFrom("range", "if-range", "if-none-match", "accept", "content-length", "transfer-encoding", "expect"),
		fc.constantFrom(
			"bytes=0-",
			"bytes=-1",
			"bytes=9-1",
			"bytes=a",
			"*",
			`"${layer.digest}"`,
			"chunked",
			"7",
			"-7",
			",",
		),
	),
	fc.tuple(fc.constantFrom("host", "origin", "content-type", "authorization", "connection", "upgrade", "x"), value),
);
const method = fc.constantFrom(
	..."GET GET GET GET HEAD PUT POST PATCH DELETE OPTIONS TRACE CONNECT M-SEARCH get".split(" "),
);

interface Wild {
	readonly method: string;
	readonly path: string;
	readonly query: [string, string][];
	readonly headers: [string, string][];
	readonly body: string;
}
const wild: fc.Arbitrary<Wild> = fc.record({
	...{ method, path, query, headers: fc.array(header, { maxLength: 4 }) },
	body: fc.constantFrom("", "{}", "0\r\n\r\n", "GET /v2/ HTTP/1.1\r\n\r\n"),
});

function onTheWire({ method, path, query, headers, body }: Wild): Buffer {
	const search = query.map(([key, v]) => `${key}=${v.replace(/[\s#]/g, "+")}`).join("&");
	const host = headers.some(([name]) => name === "host") ? [] : [["host", "127.0.0.1"]];
	const lines = [...host, ...headers, ["connection", "close"]].map(([name, v]) => `${name}: ${v}`);
	return Buffer.from(`${method} ${path}${search && `?${search}`} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n${body}`);
}

/** Sends bytes, and more of them when an answer has begun; gives all that comes back. */
async function say(port: number, bytes: Buffer, more?: string): Promise<string> {
	const socket = connect(port, "127.0.0.1").setTimeout(15_000, () => socket.destroy(new Error("no end")));
	socket.setEncoding("latin1").write(bytes);
	if (more === undefined) socket.end();
	else socket.once("data", () => socket.end(more));
	return text(socket).catch((error: NodeJS.ErrnoException) => {
		if (error.code === "ECONNRESET") return ""; // what it did not read was thrown away
		throw error;
	});
}

test(`${RUNS} wild requests: no server error, no wrong byte, errors in the spec's form`, {
	timeout: 600_000,
}, async () => {
	const view = await buildView(names, blobs);
	const { port, ask } = await serveView(() => view, blobs);
	const statuses = new Set<number>();
	const property = fc.asyncProperty(wild, async (request) => {
		const answer = await say(port, onTheWire(request));
		const [head = "", body = ""] = split(answer);
		if (head === "") return;
		const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1]);
		statuses.add(status);
		expect(status).toBeLessThan(500);
		expect(head).not.toMatch(/access-control|\n\s+at /i);
		// Who sends more than a request may be cut off; what is short of its length is no answer.
		if (body.length < Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0)) return;
		const digest = /docker-content-digest: (sha256:\S+)/i.exec(head)?.[1];
		if (status === 200 && digest !== undefined && request.method === "GET") {
			expect(`sha256:${createHash("sha256").update(body, "latin1").digest("hex")}`).toBe(digest);
		}
		// What is no HTTP, or expects what no server offers, does not come as far as the registry.
		if (!/content-type: application\/json/i.test(head)) expect([200, 206, 304, 400, 417, 431]).toContain(status);
		else if (status >= 400 && body !== "") expect(JSON.parse(body).errors[0].code).toMatch(/^[A-Z_]+$/);
	});
	await fc.assert(property, { numRuns: RUNS });
	expect([...statuses]).toEqual(expect.arrayContaining([200, 400, 404, 405, 421]));
	expect((await ask(`GET ${BLOB}`)).body.toString()).toBe("0123456789");
});

function split(answer: string): string[] {
	const end = answer.indexOf("\r\n\r\n");
	return end < 0 ? [answer] : [answer.slice(0, end), answer.slice(end + 4)];
}

test("what comes behind a request puts nothing into the answer that is on its way", async () => {
	const source = new MemoryBlobs();
	const big = source.put(Buffer.alloc(64 << 20, "x"), "text/plain");
	const config = source.put("{}", MEDIA_TYPE.ociConfig);
	const manifest = source.putDocument({ config, layers: [big] }, MEDIA_TYPE.ociManifest);
	const view = await buildView([record("a.example/big:1", manifest)], source);
	const { port } = await serveView(() => view, source);
	const request = `GET /v2/a.example/big/blobs/${big.digest} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`;
	for (const behind of [
		"garbage\r\n\r\n",
		"GET /v2/ HTTP/9\r\n\r\n",
		`GET / HTTP/1.1\r\nx: ${"y".repeat(9000)}\r\n\r\n`,
	]) {
		const [head = "", body = ""] = split(await say(port, Buffer.from(request), behind));
		expect(head).toMatch(/^HTTP\/1.1 200 /);
		expect(body).toMatch(/^x*$/);
	}
});
