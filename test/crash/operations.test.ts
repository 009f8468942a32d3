import { createHash } from "node:crypto";
import { mkdtempSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { Status } from "../../agent/status/state.ts";
import { faultsOf, type Had } from "./check.ts";
import { FAULTS, type Fault, plan } from "./faulty-fs.ts";
import { Box, copyBox, makeOperations, type Operation } from "./operations.ts";
import { makeScene, type Scene } from "./scene.ts";
import { differences, storeContents } from "./store-contents.ts";

/**
 * A fault at every file-system call of everything that changes a store: the first call of an operation that can meet the fault
 * fails, then the second, and so on until none is left. What is told is the fault; what is left is the old state or the new one;
 * once the fault is over, the same agent or the next one gets to where an undisturbed one does.
 */
vi.mock("node:fs/promises", async (original) => {
	const { faulty } = await import("./faulty-fs.ts");
	return faulty(await original<typeof import("node:fs/promises")>());
});

// A thread for each of thousands of loads would take most of the time, and its reads are not among the calls that fail here.
vi.mock("../../agent/store/blob-hasher.ts", () => {
	class BlobHasher {
		follow(fd: number, algorithm: string) {
			let size = 0;
			const end = async () => {
				const bytes = Buffer.alloc(size);
				if (readSync(fd, bytes, 0, size, 0) !== size) throw Object.assign(new Error("short"), { code: "EIO" });
				return createHash(algorithm).update(bytes).digest("hex");
			};
			const advance = (to: number) => {
				size = to;
			};
			return { advance, end };
		}
		async stop() {}
	}
	return { BlobHasher };
});

const NAMES = [
	"first load",
	"upgrade with a rotation",
	"upgrade with garbage, denylist and floor reset",
	"second start",
	"repair",
];

let folder: string;
let scene: Scene;
let operations: Operation[];
let cases = 0;
beforeAll(async () => {
	folder = mkdtempSync("/dev/shm/slipway-operations-");
	scene = await makeScene(folder, "operations", { images: 2, layers: [600], large: [150_000] });
	operations = await makeOperations(scene, folder);
});
afterAll(() => {
	rmSync(folder, { recursive: true });
	console.log(`${cases} faults injected`);
});

test.for(NAMES.flatMap((name) => FAULTS.map((fault) => ({ name, fault }))))(
	"$name: $fault at any call",
	async (row) => {
		const operation = operations.find(({ name }) => name === row.name)!;
		const wrong: string[] = [];
		let at = 1;
		for (; ; at++) {
			const found = await inject(operation, row.fault, at);
			if (found === undefined) break;
			wrong.push(...found);
		}
		cases += at - 1;
		expect(wrong.slice(0, 20)).toEqual([]);
	},
);

/** What is wrong after that fault at that call; undefined when the operation ended before it. */
async function inject(operation: Operation, fault: Fault, at: number): Promise<string[] | undefined> {
	const dir = join(folder, `case ${cases + at}`);
	copyBox(operation.base, dir, operation.damaged);
	const box = new Box(dir, operation);
	plan.root = folder;
	plan.arm(fault, at);
	const status = await box.run();
	const { hit } = plan;
	const isGone = fault === "crash" || fault === "torn";
	if (isGone) await box.stop();
	await plan.disarm();
	if (hit === undefined) {
		await box.stop();
		rmSync(dir, { recursive: true });
		return undefined;
	}
	const wrong = faultsIn(box.store, operation, operation.had, unreadable(fault, hit));
	if (!isGone) {
		wrong.push(...mistold(status, fault, hit, operation), ...untrue(status, box.store, operation));
		if (fault === "short" && status.stage !== "ready")
			wrong.push("a short write is no fault, and was not gone on with");
		await box.run(); // the fault is over
		await box.stop();
	}
	const last = isGone ? await restart(dir, operation) : box.status;
	if (last.stage !== "ready") wrong.push(`then ${last.stage}: ${JSON.stringify(last.conditions.filter((c) => !c.ok))}`);
	else if (losesPrevious(fault, hit)) wrong.push(...faultsIn(box.store, operation, operation.willHave));
	else {
		// The next start removes that one.
		const others = differences(storeContents(box.store), operation.after).filter(
			(file) => isGone || file !== "store/catalog.json.new",
		);
		wrong.push(...others.map((file) => `then ${file} differs`));
	}
	plan.end(`${dir}/`);
	await new Promise((resolve) => setImmediate(resolve));
	rmSync(dir, { recursive: true });
	wrong.push(...plan.late.splice(0).map((call) => `after its end: ${call}`));
	return wrong.map((what) => `${fault} at call ${at} (${hit}): ${what}`);
}

async function restart(dir: string, operation: Operation): Promise<Status> {
	const box = new Box(dir, operation);
	const status = await box.run();
	await box.stop();
	return status;
}

/** What was said is the fault, or what follows from it for what was read, and nothing else. */
function mistold({ conditions }: Status, fault: Fault, hit: string, { damaged }: Operation): string[] {
	const before = damaged === undefined ? [] : ["E_BLOB_MISSING"];
	const right = ["E_IO", ...(fault === "ENOSPC" ? ["E_NO_SPACE"] : []), ...followsFrom(hit), ...before];
	return conditions
		.filter((c) => !c.ok && !right.includes(c.code!))
		.map((c) => `told as ${c.name}: ${c.code} ${c.cause}`);
}

function followsFrom(hit: string): string[] {
	if (/^(read|readv|stat) .*\/content\/.*\.zst$/.test(hit)) return ["E_MEDIUM_GONE"];
	if (/^\S+ .*\/blobs\/sha/.test(hit)) return ["E_DIGEST_MISMATCH", "E_BLOB_MISSING"]; // sectors that cannot be read
	if (/^readFile .*floors\.json$/.test(hit)) return ["E_TRUST_STATE"];
	return [];
}

/** `ready` is said of nothing but a whole set. */
function untrue({ stage, servedFrom, release }: Status, store: string, operation: Operation): string[] {
	if (stage !== "ready") return [];
	const had = { ...operation.had, sequence: release?.sequence ?? Number.POSITIVE_INFINITY };
	return [...(servedFrom === "store" ? [] : ["ready, but not from the store"]), ...faultsIn(store, operation, had)];
}

/** A blob that the disk does not give back is damaged, and out of the store until it is loaded again. */
function unreadable(fault: Fault, hit: string): string | undefined {
	const hex = /^(open|stat|read) .*\/blobs\/sha256\/..\/(\w+)$/.exec(hit)?.[2];
	return fault === "EIO" && hex !== undefined ? `sha256:${hex}` : undefined;
}

/** A catalog or a blob that could not be read costs the release before, which is only kept while it is whole. */
function losesPrevious(fault: Fault, hit: string): boolean {
	return fault === "EIO" && /\/blobs\/sha|store\/catalog\.json$/.test(hit);
}

function faultsIn(store: string, { damaged }: Operation, had: Had, unreadable?: string): string[] {
	const spoilt = [damaged, unreadable].filter((digest) => digest !== undefined);
	return faultsOf(store, { publicKey: scene.publicKey, had, damaged: spoilt });
}
