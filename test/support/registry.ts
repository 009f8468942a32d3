import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { execa } from "execa";
import { run } from "../../builder/tools/run.ts";
import { MEDIA_TYPE } from "../../bundle/oci.ts";

/** The distribution's `docker-registry` on loopback, with TLS from a CA of its own and a password. */
export interface TestRegistry {
	readonly host: string;
	readonly caFile: string;
	readonly user: string;
	readonly password: string;
	/** A pull-secret file with that password, or another. */
	authFile(password?: string): Promise<string>;
	putBlob(repo: string, data: Uint8Array): Promise<void>;
	/** Asks it for a path, as its user. */
	get(path: string): Promise<{ status: number; body: Buffer }>;
	/** `METHOD /path` of every request that it has answered, as its own log says. */
	requests(): Promise<string[]>;
	/** Where it keeps what it has. */
	readonly data: string;
	/** By tag, or by its digest. */
	putManifest(repo: string, data: Uint8Array, mediaType: string, tag?: string): Promise<string>;
	stop(): Promise<void>;
}

export async function startRegistry(folder: string): Promise<TestRegistry> {
	await mkdir(folder, { recursive: true });
	const caFile = await makeCertificates(folder);
	const [user, password] = ["puller", `canary-${createHash("sha256").update(folder).digest("hex").slice(0, 20)}`];
	await writeFile(join(folder, "htpasswd"), (await run("htpasswd", ["-Bbn", user, password])).stdout);
	const { child, host } = await serve(folder, caFile);
	const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
	const ca = await readFile(caFile);
	const ask = (method: string, path: string, headers: Record<string, string> = {}, body?: Uint8Array) =>
		new Promise<IncomingMessage>((resolve, reject) => {
			const url = new URL(path, `https://${host}`);
			const sent = request(url, { method, ca, headers: { authorization, ...headers } }, resolve);
			sent.on("error", reject).end(body);
		});
	const send = async (...args: Parameters<typeof ask>) => (await ask(...args)).resume();
	const expectStatus = async (wanted: number, answer: Promise<IncomingMessage>) => {
		const { statusCode, headers } = await answer;
		if (statusCode !== wanted) throw new Error(`the registry answered ${statusCode}, not ${wanted}`);
		return headers;
	};
	return {
		...{ host, caFile, user, password, data: join(folder, "data") },
		get: async (path) => {
			const accept = [MEDIA_TYPE.ociIndex, MEDIA_TYPE.ociManifest].join(", ");
			const answer = await ask("GET", path, { accept });
			const parts: Buffer[] = [];
			for await (const part of answer as AsyncIterable<Buffer>) parts.push(part);
			return { status: answer.statusCode ?? 0, body: Buffer.concat(parts) };
		},
		requests: async () => {
			const log = await readFile(join(folder, "access.log"), "utf8");
			return [...log.matchAll(/"([A-Z]+ \S+) HTTP\/1\.1" \d+/g)].map(([, line]) => line!);
		},
		authFile: async (other = password) => {
			const file = join(folder, `auth-${other === password ? "right" : "wrong"}.json`);
			await writeFile(
				file,
				JSON.stringify({ auths: { [host]: { auth: Buffer.from(`${user}:${other}`).toString("base64") } } }),
			);
			return file;
		},
		putBlob: async (repo, data) => {
			const { location } = await expectStatus(202, send("POST", `/v2/${repo}/blobs/uploads/`));
			const url = new URL(location!, `https://${host}`);
			url.searchParams.set("digest", digestOf(data));
			const headers = { "content-type": "application/octet-stream", "content-length": String(data.length) };
			await expectStatus(201, send("PUT", url.pathname + url.search, headers, data));
		},
		putManifest: async (repo, data, mediaType, tag = digestOf(data)) => {
			await expectStatus(201, send("PUT", `/v2/${repo}/manifests/${tag}`, { "content-type": mediaType }, data));
			return digestOf(data);
		},
		stop: async () => {
			child.kill("SIGTERM");
			await child;
		},
	};
}

export function digestOf(data: Uint8Array): string {
	return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}

/** A CA and a certificate of it for 127.0.0.1, made by openssl. Answers the CA's file. */
export async function makeCertificates(folder: string): Promise<string> {
	const file = (name: string) => join(folder, name);
	const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
	const ca = ["-x509", "-days", "2", "-subj", "/CN=Test CA", "-addext", "basicConstraints=critical,CA:TRUE"];
	await run("openssl", ["req", ...ec, ...ca, "-keyout", file("ca.key"), "-out", file("ca.pem")]);
	await run("openssl", ["req", ...ec, "-subj", "/CN=127.0.0.1", "-keyout", file("tls.key"), "-out", file("tls.csr")]);
	await writeFile(file("tls.ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
	const signing = [
		"-CA",
		file("ca.pem"),
		"-CAkey",
		file("ca.key"),
		"-CAcreateserial",
		"-days",
		"2",
		"-extfile",
		file("tls.ext"),
	];
	await run("openssl", ["x509", "-req", "-in", file("tls.csr"), ...signing, "-out", file("tls.pem")]);
	return file("ca.pem");
}

function configOf(folder: string, host: string): string {
	return `version: 0.1
log: { level: error }
storage: { filesystem: { rootdirectory: ${folder}/data }, delete: { enabled: true } }
http:
  addr: ${host}
  tls: { certificate: ${folder}/tls.pem, key: ${folder}/tls.key }
auth: { htpasswd: { realm: test, path: ${folder}/htpasswd } }
`;
}

/** Starts the program. Another may take the port before it does: then it ends, and is started on a further one. */
async function serve(folder: string, caFile: string) {
	const [config, errors] = [join(folder, "config.yml"), join(folder, "errors.log")];
	for (let tries = 0; tries < 5; tries++) {
		const host = `127.0.0.1:${await freePort()}`;
		await writeFile(config, configOf(folder, host));
		const child = execa("docker-registry", ["serve", config], {
			reject: false,
			stdout: { file: join(folder, "access.log") },
			stderr: { file: errors },
		});
		let hasEnded = false;
		void child.then(() => {
			hasEnded = true;
		});
		// A certificate of this CA says that it is this one that answers.
		for (const ca = await readFile(caFile); !hasEnded; await setTimeout(100))
			if (await answers(`https://${host}/v2/`, ca)) return { child, host };
	}
	throw new Error(`docker-registry did not start: ${await readFile(errors, "utf8")}`);
}

function answers(url: string, ca: Buffer): Promise<boolean> {
	return new Promise((resolve) => {
		const sent = request(url, { ca }, (answer) => resolve(answer.resume().statusCode === 401));
		sent.on("error", () => resolve(false)).end();
	});
}

/** A port of loopback that is free right now. */
export function freePort(): Promise<number> {
	return new Promise((resolve) => {
		const server = createServer().listen(0, "127.0.0.1", () => {
			const { port } = server.address() as { port: number };
			server.close(() => resolve(port));
		});
	});
}
