import { appendFile, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { MEDIA_TYPE } from "../../bundle/oci.ts";
import { BLOB, blobs, image, layer, NGINX, names } from "../../test/support/conformance.ts";
import { MemoryBlobs, record, serveView } from "../../test/support/memory-registry.ts";
import { tempDir } from "../../test/support/temp.ts";
import type { Pull } from "./audit.ts";
import { AuditFile, type AuditLimits } from "./audit-file.ts";
import { buildView } from "./build-view.ts";

const pull = (extra: Partial<Pull> = {}): Pull => ({
	...{ from: "127.0.0.1", agent: "test", method: "GET", kind: "blob", name: "a.example/b", reference: "r" },
	...{ digest: null, status: 200, bytes: 1, complete: true },
	...extra,
});

async function openAudit(folder: string, limits: AuditLimits = { maxMiB: 1, keep: 3 }) {
	const told: (string | undefined)[] = [];
	const audit = await AuditFile.open(folder, limits, (error) => told.push(error && (error as { code?: string }).code));
	onTestFinished(() => audit.close());
	return { audit, told };
}

async function lines(folder: string, file = "pulls.jsonl"): Promise<Record<string, unknown>[]> {
	const text = await readFile(join(folder, file), "utf8").catch(() => "");
	return text
		.split("\n")
		.filter((line) => line !== "")
		.map((line) => JSON.parse(line));
}

test("every pull is a line: who, what, and how it ended", async () => {
	const view = await buildView(names, blobs);
	const seen: Pull[] = [];
	const { ask } = await serveView(() => view, blobs, { audit: { record: (p) => seen.push(p) } });
	const agent = { "user-agent": "skopeo/1 \u00ff\u00fe" };
	await ask("GET /v2/library/nginx/manifests/1.27?ns=docker.io", agent);
	await ask(`HEAD ${BLOB}`);
	await ask(`GET ${BLOB}`, { range: "bytes=2-4", authorization: "Basic c2VjcmV0" });
	await ask(`GET /v2/${NGINX}/blobs/sha256:${"1".repeat(64)}`);
	await ask(`GET ${BLOB}`, { "if-none-match": "*" });
	await ask(`GET /v2/UPPER%0A"/manifests/x${"y".repeat(300)}`);
	await ask("GET /v2/_catalog"); // no pull
	await expect.poll(() => seen.length).toBe(6);
	const base = { from: "127.0.0.1", agent: "", method: "GET", complete: true };
	expect(seen).toEqual([
		{
			...base,
			...{ agent: "skopeo/1 ??", kind: "manifest", name: NGINX, reference: "1.27" },
			...{ digest: image.digest, status: 200, bytes: image.size },
		},
		{ ...base, ...on(layer), method: "HEAD", status: 200, bytes: 0 },
		{ ...base, ...on(layer), status: 206, bytes: 3 },
		{ ...base, ...on({ digest: `sha256:${"1".repeat(64)}` }), digest: null, status: 404, bytes: expect.any(Number) },
		{ ...base, ...on(layer), status: 304, bytes: 0 },
		{
			...base,
			...{ kind: "manifest", name: 'UPPER%0A"', reference: `x${"y".repeat(139)}`, digest: null, status: 400 },
			bytes: expect.any(Number),
		},
	]);
	expect(JSON.stringify(seen)).not.toContain("c2VjcmV0");

	function on({ digest }: { digest: string }) {
		return { kind: "blob", name: NGINX, reference: digest, digest };
	}
});

test("a pull that is cut short is told as such, with the bytes that went out", async () => {
	const source = new MemoryBlobs();
	source.piece = 1 << 20;
	const big = source.put(Buffer.alloc(64 << 20), "application/octet-stream");
	const config = source.put("{}", MEDIA_TYPE.ociConfig);
	const manifest = source.putDocument({ config, layers: [big] }, MEDIA_TYPE.ociManifest);
	const view = await buildView([record("a.example/big:1", manifest)], source);
	const seen: Pull[] = [];
	const { port } = await serveView(() => view, source, { audit: { record: (p) => seen.push(p) } });
	const path = `/v2/a.example/big/blobs/${big.digest}`;
	const sent = request({ host: "127.0.0.1", port, path }, (response) => response.once("data", () => sent.destroy()));
	sent.on("error", () => undefined).end();
	await expect.poll(() => seen.length).toBe(1);
	expect(seen[0]).toMatchObject({ from: "127.0.0.1", status: 200, complete: false, digest: big.digest });
	expect(seen[0]!.bytes).toBeGreaterThan(0);
	expect(seen[0]!.bytes).toBeLessThan(big.size);
});

test("lines carry time and a number that goes on over restarts, also behind a line that a crash cut short", async () => {
	const folder = join(await tempDir(), "audit");
	for (let start = 0; start < 3; start++) {
		const { audit } = await openAudit(folder);
		audit.record(pull());
		audit.record(pull());
		await audit.close();
		await appendFile(join(folder, "pulls.jsonl"), '{"seq":99');
	}
	const text = await readFile(join(folder, "pulls.jsonl"), "utf8");
	const whole = text.split("\n").filter((line) => line.endsWith("}"));
	expect(whole.map((line) => JSON.parse(line).seq)).toEqual([1, 2, 3, 4, 5, 6]);
	expect(JSON.parse(whole[0]!)).toEqual({ seq: 1, time: expect.stringMatching(/^\d{4}-.*Z$/), ...pull() });
	expect((await stat(join(folder, "pulls.jsonl"))).mode & 0o777).toBe(0o600);
});

test.each([
	[1, ["pulls.jsonl"]],
	[3, ["pulls.1.jsonl", "pulls.2.jsonl", "pulls.jsonl"]],
])("files rotate at their size and %d are kept; nothing else in the folder is touched", async (keep, kept) => {
	const folder = join(await tempDir(), "audit");
	await mkdir(folder);
	await writeFile(join(folder, "pulls.7.jsonl"), ""); // of a time when more were kept
	await writeFile(join(folder, "other"), "");
	const { audit } = await openAudit(folder, { maxMiB: 1, keep });
	const padding = "x".repeat(3000);
	for (let round = 0; round < 8; round++) {
		for (let i = 0; i < 150; i++) audit.record(pull({ name: padding }));
		await audit.close();
	}
	expect((await readdir(folder)).sort()).toEqual(["other", ...kept]);
	const seqs = [];
	for (const file of kept.toReversed().sort((a, b) => b.length - a.length || (a < b ? 1 : -1))) {
		expect((await stat(join(folder, file))).size).toBeLessThanOrEqual(2 ** 20);
		seqs.push(...(await lines(folder, file)).map((line) => line.seq as number));
	}
	expect(seqs).toEqual(Array.from({ length: seqs.length }, (_, i) => 1201 - seqs.length + i));
	expect((await openAudit(folder)).told).toEqual([]);
});

test("a disk that takes nothing: pulls go on, one fault is told, what was dropped is counted when it works again", async () => {
	const folder = join(await tempDir(), "audit");
	await writeFile(folder, "a file where the folder should be");
	const { audit, told } = await openAudit(folder);
	for (let i = 0; i < 5000; i++) audit.record(pull({ name: "x".repeat(300) }));
	await expect.poll(() => told).toEqual(["EEXIST"]);
	audit.record(pull());
	await rm(folder);
	await expect.poll(() => told).toEqual(["EEXIST", undefined]);
	await audit.close();
	const all = await lines(folder);
	const dropped = all.find((line) => "dropped" in line)?.dropped as number;
	expect(dropped).toBeGreaterThan(0);
	expect(all.length - 1 + dropped).toBe(5001);
	const written = all.filter((line) => "name" in line).map((line) => line.seq as number);
	expect(written).toEqual([...written].sort((a, b) => a - b));
});

test("a file that is a link is not followed", async () => {
	const folder = join(await tempDir(), "audit");
	await mkdir(folder);
	const target = join(folder, "target");
	await writeFile(target, "");
	await symlink(target, join(folder, "pulls.jsonl"));
	const { audit, told } = await openAudit(folder);
	audit.record(pull());
	await audit.close();
	expect(told).toEqual(["ELOOP"]);
	expect((await stat(target)).size).toBe(0);
});
