import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What happens to one request: answered with that status, or the connection is cut before or after it took effect. */
export type Fault = number | "cut-before" | "cut-body" | "cut-after";

interface FakeRepository {
	readonly blobs: Map<string, Buffer>;
	readonly manifests: Map<string, { bytes: Buffer; type: string }>;
	readonly tags: Map<string, string>;
}

/**
 * A registry in memory, for the faults that a real one cannot be made to show. It takes what OCI distribution-spec 1.1 says a
 * registry takes, and refuses manifests whose blobs or children are missing.
 */
export class FakeTarget {
	readonly repositories = new Map<string, FakeRepository>();
	/** `METHOD /path` of every request, as it came. */
	readonly requests: string[] = [];
	/** Asked for each request before anything else. */
	fault: (method: string, path: string, nth: number) => Fault | undefined = () => undefined;
	referrersApi = false;
	sparse = false;
	mounts = true;
	/** Whether the status of an upload can be asked for. */
	resumable = true;
	/** Answers a request that is not logged in. */
	guard: (request: IncomingMessage) => { status: number; headers: Record<string, string>; body?: string } | undefined =
		() => undefined;
	/** Called before a tag takes effect; "lost": it does not, though it is said to. */
	onTag: (repository: string, tag: string, digest: string) => unknown = () => undefined;
	#uploads = new Map<string, Buffer>();
	#last = 0;
	readonly #server = createServer((request, response) => {
		// A client that goes away in the middle of its body is none of our concern.
		this.#handle(request, response).catch(
			(error: NodeJS.ErrnoException) => error.code === "ECONNRESET" || Promise.reject(error),
		);
	});

	async start(): Promise<string> {
		await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
		return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
	}

	async stop(): Promise<void> {
		this.#server.closeAllConnections();
		await new Promise((resolve) => this.#server.close(resolve));
	}

	repository(name: string): FakeRepository {
		const repo = this.repositories.get(name) ?? { blobs: new Map(), manifests: new Map(), tags: new Map() };
		this.repositories.set(name, repo);
		return repo;
	}

	/** Everything that a manifest leads to and that is not there. */
	missing(name: string, digest: string): string[] {
		const repo = this.repository(name);
		const found = repo.manifests.get(digest);
		if (found === undefined) return [digest];
		const { config, layers = [], manifests = [] } = JSON.parse(found.bytes.toString());
		const blobs = [...(config === undefined ? [] : [config]), ...layers].map((d: { digest: string }) => d.digest);
		return [
			...blobs.filter((blob: string) => !repo.blobs.has(blob)),
			...manifests.flatMap((child: { digest: string }) => this.missing(name, child.digest)),
		];
	}

	async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
		const method = request.method ?? "";
		const { socket } = request;
		const url = new URL(request.url ?? "", "http://fake");
		this.requests.push(`${method} ${url.pathname}${url.search}`);
		const fault = this.fault(method, `${url.pathname}${url.search}`, this.requests.length - 1);
		if (fault === "cut-before") return void socket.destroy();
		const [body, whole] = await read(request, fault === "cut-body");
		if (typeof fault === "number") {
			response.writeHead(fault, { "retry-after": "0" }).end('{"errors":[{"code":"TOOMANYREQUESTS"}]}');
			return;
		}
		const answer = this.guard(request) ?? this.#answer(method, url, request.headers, body, whole);
		if (fault !== undefined) return void socket.destroy();
		response.writeHead(answer.status, answer.headers).end(method === "HEAD" ? undefined : answer.body);
	}

	#answer(
		method: string,
		url: URL,
		headers: IncomingMessage["headers"],
		body: Buffer,
		whole: boolean,
	): { status: number; headers?: Record<string, string>; body?: Buffer | string } {
		const [, name = "", kind = "", rest = ""] =
			/^\/v2\/(.+?)\/(blobs\/uploads|blobs|manifests|referrers)\/(.*)$/.exec(url.pathname) ?? [];
		const repo = this.repository(name);
		const error = (status: number, code: string) => ({ status, body: JSON.stringify({ errors: [{ code }] }) });
		const location = (id: string) => ({ location: `/v2/${name}/blobs/uploads/${id}` });
		if (kind === "blobs/uploads") {
			const mounted = url.searchParams.get("mount");
			const source = this.repositories.get(url.searchParams.get("from") ?? "")?.blobs.get(mounted ?? "");
			if (method === "POST" && mounted !== null && source !== undefined && this.mounts) {
				repo.blobs.set(mounted, source);
				return { status: 201, headers: { location: `/v2/${name}/blobs/${mounted}` } };
			}
			if (method === "POST") {
				const id = String(++this.#last);
				this.#uploads.set(id, Buffer.alloc(0));
				return { status: 202, headers: location(id) };
			}
			const upload = this.#uploads.get(rest);
			if (upload === undefined || (method === "GET" && !this.resumable)) return error(404, "BLOB_UPLOAD_UNKNOWN");
			if (method === "GET")
				return { status: 204, headers: { ...location(rest), range: `0-${Math.max(0, upload.length - 1)}` } };
			const from = Number(/^(\d+)-/.exec(headers["content-range"] ?? "")?.[1] ?? 0);
			if (from !== upload.length) return error(416, "BLOB_UPLOAD_INVALID");
			const now = Buffer.concat([upload, body]);
			this.#uploads.set(rest, now);
			if (method === "PATCH" || !whole)
				return { status: 202, headers: { ...location(rest), range: `0-${now.length - 1}` } };
			const digest = url.searchParams.get("digest") ?? "";
			this.#uploads.delete(rest);
			if (sha256(now) !== digest) return error(400, "DIGEST_INVALID");
			repo.blobs.set(digest, now);
			return { status: 201, headers: { "docker-content-digest": digest } };
		}
		if (kind === "blobs") {
			const blob = repo.blobs.get(rest);
			if (blob === undefined) return error(404, "BLOB_UNKNOWN");
			return { status: 200, headers: { "content-length": String(blob.length), "docker-content-digest": rest } };
		}
		if (kind === "referrers") {
			if (!this.referrersApi) return error(404, "NOT_FOUND");
			return { status: 200, body: '{"schemaVersion":2,"manifests":[]}' };
		}
		if (method === "PUT")
			return whole ? this.#putManifest(name, rest, body, headers["content-type"] ?? "") : error(400, "X");
		const digest = repo.tags.get(rest) ?? rest;
		const found = repo.manifests.get(digest);
		if (found === undefined) return error(404, "MANIFEST_UNKNOWN");
		if (method === "DELETE") repo.manifests.delete(digest);
		const head = {
			"content-type": found.type,
			"docker-content-digest": digest,
			"content-length": String(found.bytes.length),
		};
		return method === "DELETE" ? { status: 202 } : { status: 200, headers: head, body: found.bytes };
	}

	#putManifest(name: string, reference: string, bytes: Buffer, type: string) {
		const repo = this.repository(name);
		const digest = sha256(bytes);
		const { config, layers = [], manifests = [] } = JSON.parse(bytes.toString());
		const blobs = [...(config === undefined ? [] : [config]), ...layers] as { digest: string }[];
		const bad =
			blobs.some((d) => !repo.blobs.has(d.digest)) ||
			(!this.sparse && (manifests as { digest: string }[]).some((d) => !repo.manifests.has(d.digest)));
		if (bad) return { status: 400, body: '{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}' };
		const isTag = !reference.includes(":");
		const isLost = isTag && this.onTag(name, reference, digest) === "lost";
		repo.manifests.set(digest, { bytes, type });
		if (isTag && !isLost) repo.tags.set(reference, digest);
		return { status: 201, headers: { "docker-content-digest": digest } };
	}
}

/** The body; with `half`, a part of it, after which the connection is to be cut. */
async function read(request: IncomingMessage, half: boolean): Promise<[body: Buffer, whole: boolean]> {
	const parts: Buffer[] = [];
	let size = 0;
	const length = Number(request.headers["content-length"] ?? 0);
	for await (const part of request as AsyncIterable<Buffer>) {
		parts.push(part);
		size += part.length;
		if (half && size >= length / 2) break;
	}
	const body = Buffer.concat(parts);
	return half ? [body.subarray(0, Math.floor(length / 2)), false] : [body, true];
}

function sha256(bytes: Buffer): string {
	return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
