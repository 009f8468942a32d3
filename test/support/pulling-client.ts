import { createHash, type Hash } from "node:crypto";
import { Agent, type IncomingMessage, request } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

export interface WantedBlob {
	readonly path: string;
	readonly digest: string;
	readonly size: number;
}

export interface Tally {
	/** Bytes of blobs, whole or not. */
	bytes: number;
	/** Blobs that came whole, with the right bytes. */
	whole: number;
	/** Of these, blobs that took more than one answer. */
	resumed: number;
	/** Answers that broke off, and connections that could not be made. */
	cut: number;
	/** 503: nothing is visible yet, or the blob cannot be had just now. */
	unavailable: number;
	/** Requests that were ever begun; each is known by how many there were before it. */
	begun: number;
	/** Those of them that have not ended in any way. */
	readonly open: Set<number>;
}

export function newTally(): Tally {
	return { bytes: 0, whole: 0, resumed: 0, cut: 0, unavailable: 0, begun: 0, open: new Set() };
}

/** A server that neither answers nor ends the connection for so long has lost the request. */
const LOST_MS = 60_000;

/**
 * A client as containers' runtimes are: it takes one blob after the other, goes on where an answer broke off (`Range` with
 * `If-Range`), tries again while the server is away or says 503, and checks what it has against the digest. Rejects when an
 * answer that is complete has wrong bytes, at any other status, and when a request is never ended. Resolves to the request
 * that brought the last blob.
 */
export async function pullAll(port: number, blobs: readonly WantedBlob[], tally: Tally): Promise<number> {
	const agent = new Agent({ keepAlive: true, maxSockets: 1 });
	try {
		let last = -1;
		for (const blob of blobs) last = await pullOne(port, agent, blob, tally);
		return last;
	} finally {
		agent.destroy();
	}
}

interface Part {
	hash: Hash;
	size: number;
}

async function pullOne(port: number, agent: Agent, blob: WantedBlob, tally: Tally): Promise<number> {
	const part: Part = { hash: createHash("sha256"), size: 0 };
	let answers = 0;
	let nth: number;
	for (;;) {
		nth = tally.begun++;
		tally.open.add(nth);
		const ended = await attempt(port, agent, blob, part, tally);
		tally.open.delete(nth);
		if (ended === "whole") break;
		tally[ended]++;
		if (ended === "cut" && part.size > 0) answers++;
		await pause(20);
	}
	const digest = `sha256:${part.hash.digest("hex")}`;
	if (digest !== blob.digest || part.size !== blob.size) throw new Error(`${blob.path} came whole with ${digest}`);
	tally.whole++;
	if (answers > 0) tally.resumed++;
	return nth;
}

function attempt(
	port: number,
	agent: Agent,
	blob: WantedBlob,
	part: Part,
	tally: Tally,
): Promise<"whole" | "cut" | "unavailable"> {
	const headers = part.size === 0 ? {} : { range: `bytes=${part.size}-`, "if-range": `"${blob.digest}"` };
	return new Promise((resolve, reject) => {
		const asked = request({ host: "127.0.0.1", port, path: blob.path, headers, agent, timeout: LOST_MS }, (answer) => {
			const { statusCode } = answer;
			if (statusCode === 503) {
				answer.resume().on("close", () => resolve("unavailable"));
				return;
			}
			if (statusCode !== (part.size === 0 ? 200 : 206)) {
				reject(new Error(`${blob.path} answered ${statusCode}`));
				return;
			}
			take(answer, part, tally).then(resolve);
		});
		asked
			.on("timeout", () => {
				reject(new Error(`${blob.path}: the request was never ended`));
				asked.destroy();
			})
			.on("error", () => resolve("cut")) // before an answer; afterwards the answer tells
			.end();
	});
}

function take(answer: IncomingMessage, part: Part, tally: Tally): Promise<"whole" | "cut"> {
	answer.on("data", (bytes: Buffer) => {
		part.hash.update(bytes);
		part.size += bytes.length;
		tally.bytes += bytes.length;
	});
	return new Promise((resolve) => {
		answer.on("error", () => undefined);
		answer.on("close", () => resolve(answer.complete ? "whole" : "cut"));
	});
}
