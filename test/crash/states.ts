import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import type { BlockLog, Entry } from "./block-log.ts";
import type { Random } from "./random.ts";

/**
 * One state that a power cut may leave: everything up to the last flush before `cut`, and of the writes since then all
 * (`kept` undefined) or a part. `number` names it: the same log, count and seed give the same states.
 */
export interface CrashState {
	readonly number: number;
	/** Entries before this one are on the disk, flushed. */
	readonly epoch: number;
	/** The power goes before this entry. */
	readonly cut: number;
	/** Writes since `epoch` were lost, in part. */
	readonly lossy: boolean;
	/** Entries from `epoch` to `cut` that reached the disk, each with how many of its bytes. */
	readonly kept: readonly (readonly [entry: number, bytes: number])[];
}

/** Disks write pages of this size whole. */
const PAGE = 4096;

/**
 * Plans about `count` states over the log: every prefix (or, if those are too many, a seeded sample of them), the rest
 * seeded reorderings: of the writes that no flush has made durable, each may have reached the disk, in part or not at all.
 */
export function planStates(entries: readonly Entry[], count: number, random: Random): CrashState[] {
	const epochs = epochStarts(entries);
	const prefixes = entries.flatMap(({ length }, i) => (length > 0 ? [i + 1] : []));
	const wanted = Math.min(prefixes.length, Math.ceil((count * 2) / 3));
	const cuts = random.sample(prefixes, wanted).map((cut) => ({ cut, lossy: false }));
	// A reordering needs two unflushed writes at least.
	const loose = prefixes.filter((cut) => pending(entries, epochs[cut]!, cut).length > 1);
	while (loose.length > 0 && cuts.length < count) cuts.push({ cut: random.pick(loose), lossy: true });
	return cuts
		.sort((a, b) => a.cut - b.cut)
		.map(({ cut, lossy }, number) => {
			const epoch = epochs[cut]!;
			const writes = pending(entries, epoch, cut);
			const kept = lossy ? writes.flatMap((write) => lose(write, random)) : writes;
			return { number, epoch, cut, lossy, kept };
		});
}

/** For each cut the entry after the last flush before it. */
function epochStarts(entries: readonly Entry[]): number[] {
	const starts = [0];
	for (const [i, { flush }] of entries.entries()) starts.push(flush ? i + 1 : starts[i]!);
	return starts;
}

function pending(entries: readonly Entry[], from: number, to: number): [number, number][] {
	return entries.slice(from, to).flatMap((e, i) => (e.length > 0 ? [[from + i, e.length] as [number, number]] : []));
}

/** Half of the writes are lost; one in eight is torn between pages. */
function lose([entry, length]: [number, number], random: Random): [number, number][] {
	if (random.below(2) === 0) return [];
	if (length <= PAGE || random.below(4) > 0) return [[entry, length]];
	return [[entry, PAGE * (1 + random.below(Math.floor(length / PAGE)))]];
}

/** Builds the disks of states, whose epochs must not decrease from one call to the next. */
export class StateBuilder {
	readonly #log: BlockLog;
	/** The disk at the last epoch that was asked for; pages that were never written are not in `used`. */
	readonly #disk: Buffer;
	readonly #used: Uint8Array;
	#done = 0;

	constructor(base: string, log: BlockLog) {
		this.#log = log;
		this.#disk = readFileSync(base);
		this.#used = new Uint8Array(Math.ceil(this.#disk.length / PAGE));
		const zeros = Buffer.alloc(PAGE);
		for (let i = 0; i < this.#used.length; i++) {
			if (!this.#disk.subarray(i * PAGE, (i + 1) * PAGE).equals(zeros)) this.#used[i] = 1;
		}
	}

	/** Writes the disk of that state to `image`. */
	build(state: CrashState, image: string): void {
		for (; this.#done < state.epoch; this.#done++) this.#apply(this.#log.entries[this.#done]!);
		const fd = openSync(image, "w");
		try {
			ftruncateSync(fd, this.#disk.length);
			for (let i = 0; i < this.#used.length; i++) {
				if (this.#used[i] !== 1) continue;
				const from = i;
				while (this.#used[i + 1] === 1) i++;
				writeSync(fd, this.#disk, from * PAGE, (i + 1 - from) * PAGE, from * PAGE);
			}
			for (const [i, bytes] of state.kept) {
				const entry = this.#log.entries[i]!;
				writeSync(fd, this.#log.data(entry), 0, bytes, entry.offset);
			}
		} finally {
			closeSync(fd);
		}
	}

	#apply(entry: Entry): void {
		this.#log.data(entry).copy(this.#disk, entry.offset);
		this.#used.fill(1, Math.floor(entry.offset / PAGE), Math.ceil((entry.offset + entry.length) / PAGE));
	}
}
