import { cpSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BringUp } from "../../agent/bring-up.ts";
import { State, type Status } from "../../agent/status/state.ts";
import { applianceConfig } from "../../bundle/appliance.ts";
import { blobPath, type CatalogSet, HAD_NOTHING, type Had } from "./check.ts";
import type { Scene } from "./scene.ts";
import { storeContents } from "./store-contents.ts";

/** Something that the agent does to a store: from what is there (`base`), with a release in the content folder, to `after`. */
export interface Operation {
	readonly name: string;
	readonly base: string;
	readonly content: string;
	readonly trust: string;
	readonly had: Had;
	readonly willHave: Had;
	/** A blob of the base that is damaged. */
	readonly damaged: string | undefined;
	readonly after: Record<string, string>;
}

/** Longer than anything here takes, and shorter than a person waits. */
const HANG_MS = 20_000;

/** An agent without its endpoints: what brings content up, and what it says. */
export class Box {
	readonly store: string;
	readonly #state: State;
	readonly #bringUp: BringUp;

	constructor(dir: string, { content, trust }: Pick<Operation, "content" | "trust">) {
		this.store = join(dir, "store");
		const run = join(dir, "run");
		const config = applianceConfig.parse({ content, trust, store: this.store, run, boot: run, serve: "store" });
		this.#state = new State(NOTHING_YET);
		this.#bringUp = new BringUp(config, { rootId: null, checkMedium: false }, this.#state);
	}

	get status(): Status {
		return this.#state.status;
	}

	/** One attempt to bring the content up; it may fail, but not hang. */
	async run(): Promise<Status> {
		await within(this.#bringUp.run());
		return this.status;
	}

	stop(): Promise<void> {
		return within(this.#bringUp.stop());
	}
}

async function within<T>(work: Promise<T>): Promise<T> {
	let timer: NodeJS.Timeout | undefined;
	const hang = new Promise<never>((_, reject) => {
		timer = setTimeout(() => reject(new Error("it hangs")), HANG_MS);
	});
	return Promise.race([work, hang]).finally(() => clearTimeout(timer));
}

/** Load, upgrade, an upgrade that makes garbage, a second start, and a repair, each on a box of its own below `folder`. */
export async function makeOperations(scene: Scene, folder: string): Promise<Operation[]> {
	const { publicKey: _, releases, statements, trust } = scene;
	const had = (release: number): Had => ({ sequence: release, floors: {}, statements: statements[release - 1] ?? 0 });
	const made: Operation[] = [];
	const make = async (name: string, base: string, from: number, to: number, damaged?: string) => {
		const content = releases[to - 1]!.content;
		const dir = join(folder, `after ${name}`);
		copyBox(base, dir, damaged);
		const box = new Box(dir, { content, trust });
		const { stage, conditions } = await box.run();
		await box.stop();
		if (stage !== "ready") throw new Error(`${name} without a fault: ${stage} ${JSON.stringify(conditions)}`);
		const after = storeContents(box.store);
		const before = from === 0 ? HAD_NOTHING : had(from);
		made.push({ name, base, content, trust, had: before, willHave: had(to), damaged, after });
		return dir;
	};
	const empty = join(folder, "empty");
	mkdirSync(join(empty, "store"), { recursive: true });
	mkdirSync(join(empty, "run"));
	writeFileSync(join(empty, "run", "hardware.json"), JSON.stringify(HARDWARE));
	const first = await make("first load", empty, 0, 1);
	const second = await make("upgrade with a rotation", first, 1, 2);
	await make("upgrade with garbage, denylist and floor reset", second, 2, 3);
	await make("second start", first, 1, 1);
	const spoilt = join(folder, "spoilt");
	copyBox(first, spoilt);
	const damaged = releases[0]!.bundles[1]!.index.blobs.toSorted((a, b) => b.size - a.size)[0]!.digest;
	spoil(blobPath(join(spoilt, "store/store"), damaged));
	await make("repair", spoilt, 1, 1, damaged);
	return made;
}

/**
 * Copies a box; what its catalog says of its files is made to fit the copies, so that they are trusted as the first were; not
 * so one that was damaged.
 */
export function copyBox(from: string, to: string, damaged?: string): void {
	rmSync(to, { recursive: true, force: true });
	cpSync(from, to, { recursive: true });
	const folder = join(to, "store/store");
	const file = join(folder, "catalog.json");
	let text: string;
	try {
		text = readFileSync(file, "utf8");
	} catch {
		return; // nothing is committed yet
	}
	const catalog = JSON.parse(text) as CatalogSet;
	for (let set: CatalogSet | undefined = catalog; set !== undefined; set = set.previous) {
		for (const digest of Object.keys(set.blobs)) {
			if (digest === damaged) continue;
			const { size, ino, ctimeNs } = lstatSync(blobPath(folder, digest), { bigint: true });
			set.blobs[digest] = [Number(size), String(ino), String(ctimeNs)];
		}
	}
	writeFileSync(file, JSON.stringify(catalog));
}

function spoil(path: string): void {
	const bytes = readFileSync(path);
	bytes[5] = bytes[5]! ^ 1;
	writeFileSync(path, bytes);
}

const HARDWARE = {
	...{ arch: "amd64", cores: 2, memoryMiB: 1000, disks: [], nics: 1, cpuFlags: [], tpm: false },
	...{ cpu: "", manufacturer: "", model: "" },
};

/** Of the status only what bringing up reads before it has written it. */
const NOTHING_YET = {
	stage: "booting",
	conditions: [],
	bundles: [],
	fips: { required: false, active: false },
	servedFrom: null,
	mediumPresent: null,
	missingBlobs: null,
} as unknown as Status;
