import { BufferPool } from "../../bundle/buffers.ts";
import { SLOT_BUFFER } from "../../bundle/slots.ts";

/** Frames being read and decoded at once. */
const DECODES = 4;
/** What a kept frame takes beside its bytes, about. */
const ENTRY = 1024;
/** Bytes of frames that are kept. */
const CACHE = 32 * (SLOT_BUFFER + ENTRY);

/** The plain bytes of a verified frame. They are right until `release`, which everyone who was given a frame calls once. */
export interface Frame {
	readonly parts: readonly Buffer[];
	release(): void;
}

interface Entry {
	readonly parts: Promise<readonly Buffer[]>;
	/** Whoever was given the frame, or waits for it, and has not released it. */
	users: number;
	kept: boolean;
	bytes: number;
	/** The buffer that the parts are views of, if it is to be used again. */
	room: Buffer | undefined;
}

/**
 * Verified frames: the ones used last are kept, one that is being made is made once however many wait for it, and only so
 * many are made at a time. Their buffers are used again, since fresh ones would pile up until the collector comes. So what serving out
 * of bundles costs in memory is 32 MiB, or a frame for each client if that is more, whatever the bundles' size.
 */
export class FrameCache {
	readonly #entries = new Map<string, Entry>();
	readonly #rooms = new BufferPool(SLOT_BUFFER);
	readonly #waiting: (() => void)[] = [];
	#free = DECODES;
	#bytes = 0;

	/**
	 * The frame of that name, made by `make` if it is not at hand; `make` gets room for `size` bytes, of which its result may be
	 * views. Errors: those of `make`, to everyone who waits for it.
	 */
	async get(name: string, size: number, make: (room: Buffer) => Promise<readonly Buffer[]>): Promise<Frame> {
		const known = this.#entries.get(name);
		const entry = known ?? this.#start(name, size, make);
		this.#entries.delete(name);
		this.#entries.set(name, entry); // a map remembers the order: this one is now the youngest
		entry.users++;
		let given = true;
		const release = () => {
			if (given && --entry.users === 0) this.#recycle(entry);
			given = false;
		};
		return { parts: await entry.parts, release };
	}

	#start(name: string, size: number, make: (room: Buffer) => Promise<readonly Buffer[]>): Entry {
		const work = async (): Promise<readonly Buffer[]> => {
			// A small frame would hold a buffer many times its size.
			const isPooled = size <= SLOT_BUFFER && size > SLOT_BUFFER / 16;
			const room = isPooled ? this.#rooms.take() : Buffer.allocUnsafeSlow(size);
			if (isPooled) entry.room = room;
			try {
				const parts = await make(room);
				this.#keep(entry, parts, room);
				return parts;
			} catch (error) {
				this.#entries.delete(name);
				entry.kept = false;
				this.#recycle(entry); // nobody was given anything
				throw error;
			}
		};
		const entry: Entry = { users: 0, kept: true, bytes: 0, room: undefined, parts: this.#turn().then(work) };
		entry.parts.finally(() => this.#next()).catch(() => undefined);
		return entry;
	}

	#keep(entry: Entry, parts: readonly Buffer[], room: Buffer): void {
		const isView = parts[0]?.buffer === room.buffer;
		if (entry.room !== undefined && !isView) {
			this.#rooms.give(room); // what was decoded has a buffer of its own
			entry.room = undefined;
		}
		entry.bytes = ENTRY + (isView ? room.length : parts.reduce((sum, part) => sum + part.length, 0));
		this.#bytes += entry.bytes;
		for (const [name, oldest] of this.#entries) {
			if (this.#bytes <= CACHE) break;
			if (oldest.users > 0) continue; // it is being sent, and takes its memory whether it is kept or not
			this.#entries.delete(name);
			this.#bytes -= oldest.bytes;
			oldest.kept = false;
			this.#recycle(oldest);
		}
	}

	#recycle(entry: Entry): void {
		if (entry.kept || entry.room === undefined) return;
		this.#rooms.give(entry.room);
		entry.room = undefined;
	}

	/** Resolves when one more frame may be made. */
	async #turn(): Promise<void> {
		if (this.#free > 0) this.#free--;
		else await new Promise<void>((resolve) => this.#waiting.push(resolve)); // gets the place of one that ends
	}

	#next(): void {
		const next = this.#waiting.shift();
		if (next === undefined) this.#free++;
		else next();
	}
}
