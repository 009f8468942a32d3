import type { FileHandle } from "node:fs/promises";

/**
 * `node:fs/promises` with a fault at one call. `crash`: the call and all that follow fail, as if the process were gone; `torn`:
 * likewise, but a write gets half of its bytes out first. ENOSPC and EROFS last, as a full or a read-only disk does; EIO and
 * EMFILE are there once; `short`: a write takes half of its bytes and says so.
 */
export const FAULTS = ["crash", "torn", "EIO", "ENOSPC", "EROFS", "EMFILE", "short"] as const;
export type Fault = (typeof FAULTS)[number];

const WRITES = ["write", "writev", "writeFile", "appendFile"];
const OPENS = ["open", "opendir", "readFile", "writeFile", "appendFile", "readdir"];
const CHANGES = [
	"mkdir",
	"rename",
	"rm",
	"rmdir",
	"unlink",
	"chmod",
	"utimes",
	"truncate",
	"copyFile",
	"link",
	"symlink",
];
const GROWS = [...WRITES, "mkdir", "rename", "sync", "datasync"];

/** Which calls can meet a fault, besides the creation of a file. */
const MEETS: Record<Fault, (name: string, creates: boolean) => boolean> = {
	crash: () => true,
	torn: (name) => WRITES.includes(name),
	EIO: () => true,
	ENOSPC: (name, creates) => creates || GROWS.includes(name),
	EROFS: (name, creates) => creates || CHANGES.includes(name) || WRITES.includes(name),
	EMFILE: (name) => OPENS.includes(name),
	short: (name) => name === "write" || name === "writev",
};
const LASTS: readonly Fault[] = ["crash", "torn", "ENOSPC", "EROFS"];

/** Only paths below `root` count; none while it is empty. */
class Plan {
	root = "";
	#fault: Fault | undefined;
	#at = 0;
	calls = 0;
	/** The call that met the fault. */
	hit: string | undefined;
	/** Calls below a folder whose agent had stopped. */
	readonly late: string[] = [];
	#over = "";
	readonly #open = new Set<FileHandle>();

	/** The `at`-th call that can meet the fault does. */
	arm(fault: Fault, at: number): void {
		[this.#fault, this.#at, this.calls, this.hit] = [fault, at, 0, undefined];
	}

	/** No fault any more. What a process that is gone had open is closed. */
	async disarm(): Promise<void> {
		this.#fault = undefined;
		for (const handle of this.#open) await handle.close().catch(() => undefined);
		this.#open.clear();
	}

	/** Nothing may touch that folder any more. */
	end(folder: string): void {
		this.#over = folder;
	}

	/** What becomes of this call: nothing, half a write, or an error. */
	next(name: string, path: string, creates = false): "half" | Error | undefined {
		const fault = this.#fault;
		if (this.#over !== "" && path.startsWith(this.#over)) {
			this.late.push(`${name} ${path.slice(this.#over.length)}`);
			return Object.assign(new Error("too late"), { code: "ELATE" });
		}
		if (fault === undefined || this.root === "" || !path.startsWith(this.root)) return undefined;
		const gone = this.hit !== undefined && (fault === "crash" || fault === "torn");
		if (!gone && !MEETS[fault](name, creates)) return undefined;
		this.calls++;
		const now = this.calls === this.#at;
		if (now) this.hit = `${name} ${path.slice(this.root.length)}`;
		if (!now && !(LASTS.includes(fault) && this.calls > this.#at)) return undefined;
		if (now && (fault === "short" || fault === "torn")) return "half";
		const code = fault === "crash" || fault === "torn" ? "ECRASHED" : fault;
		return Object.assign(new Error(`${code}: ${name} '${path}'`), { code, path, syscall: name });
	}

	/** After half of a write: a crash, or a write that says how much it took. */
	get isTorn(): boolean {
		return this.#fault === "torn";
	}

	opened(handle: FileHandle): void {
		this.#open.add(handle);
	}
	closed(handle: FileHandle): void {
		this.#open.delete(handle);
	}
}

export const plan = new Plan();

type Call = (...args: unknown[]) => Promise<unknown>;

/** Wraps every function of the module and every file handle that it gives. */
export function faulty(fs: typeof import("node:fs/promises")): typeof fs {
	const wrapped = Object.entries(fs).map(([name, value]) => {
		if (typeof value !== "function") return [name, value];
		const call: Call = async (...args) => {
			const path = String(args[0]);
			const creates = name === "open" && isCreating(args[1]);
			const found = plan.next(name, path, creates);
			if (found instanceof Error) throw found;
			if (found === "half") return tear(path, (half) => fs.writeFile(path, half), args[1]);
			const result = await (value as Call).apply(fs, args);
			return name === "open" ? faultyHandle(result as FileHandle, path) : result;
		};
		return [name, call];
	});
	return { ...Object.fromEntries(wrapped), default: undefined };
}

function faultyHandle(handle: FileHandle, path: string): FileHandle {
	plan.opened(handle);
	return new Proxy(handle, {
		get(target, name) {
			const value = Reflect.get(target, name, target) as unknown;
			if (typeof value !== "function" || typeof name !== "string") return value;
			if (name === "createReadStream" || name === "on" || name === "once" || name === "emit") return value.bind(target);
			return async (...args: unknown[]) => {
				const found = plan.next(name, path);
				if (name === "close") {
					plan.closed(target);
					await target.close(); // whatever it answers, it is closed
				}
				if (found instanceof Error) throw found;
				if (name === "close") return;
				if (found === "half") return tear(path, (half) => target.write(half), args[0]);
				return (value as Call).apply(target, args);
			};
		},
	});
}

/** Writes the first half; then the process is gone, or the call says how much it wrote. */
async function tear(path: string, write: (half: Buffer) => Promise<unknown>, data: unknown): Promise<unknown> {
	const pieces = (Array.isArray(data) ? data : [data]) as (Uint8Array | string)[];
	const whole = Buffer.concat(pieces.map((piece) => Buffer.from(piece as Uint8Array)));
	const half = whole.subarray(0, Math.ceil(whole.length / 2));
	await write(half);
	if (plan.isTorn) throw Object.assign(new Error("gone"), { code: "ECRASHED", path });
	return { bytesWritten: half.length, buffers: data };
}

function isCreating(flags: unknown): boolean {
	return typeof flags === "number" ? (flags & 0o100) !== 0 : /^[wa]/.test(String(flags ?? "r"));
}
