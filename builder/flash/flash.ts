import { realpath, stat } from "node:fs/promises";
import { basename } from "node:path";
import { createInterface } from "node:readline/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { SlipwayError } from "../../bundle/errors.ts";
import { openRegular, type RegularFile } from "../../bundle/read.ts";
import type { CommandContext } from "../cli/command.ts";
import type { FlashOptions } from "../cli/flash.ts";
import { formatTime, openMonitor } from "../monitor/monitor.ts";
import { formatBytes } from "../plan/space.ts";
import { blkid } from "../tools/blkid.ts";
import { run } from "../tools/run.ts";
import { throwAll } from "../yaml/load.ts";
import { BlockDevices } from "./block-devices.ts";
import { describeCheck, describeDisk } from "./describe.ts";
import { type Disk, readDisk } from "./disk.ts";
import { checkIso } from "./iso-file.ts";
import { numberOf, openRawDisk } from "./raw-disk.ts";
import { refusals } from "./refusals.ts";
import { checkRelease } from "./release-check.ts";
import { Steps } from "./steps.ts";
import { compareAll, writeAll } from "./transfer.ts";
import { Uses } from "./uses.ts";

/**
 * `slipway flash`: writes an ISO to a whole disk and reads it back. Refuses every disk that something uses, or that is not made
 * to be taken out; asks before it writes. Errors: E_DEVICE, E_ISO, E_BUSY, E_NOT_ROOT, E_USAGE, E_INTERRUPTED, E_DIGEST_MISMATCH,
 * E_IO, those of checkRelease().
 */
export async function flash(context: CommandContext, o: FlashOptions, [given, device]: string[]): Promise<void> {
	const iso = await realpath(given!).catch((cause: NodeJS.ErrnoException) => {
		throw new SlipwayError("E_ISO", `${given} cannot be read (${cause.code}).`, { cause });
	});
	const file = await openRegular(iso);
	try {
		await checkIso(file, basename(iso));
		const disk = await diskAt(device!);
		throwAll(refusals(disk, await wish(context.root, iso, file.size, o.yesReally === true)));
		await writeTo(context, o, { iso, file, disk });
	} finally {
		await file.close();
	}
}

interface Job {
	readonly iso: string;
	readonly file: RegularFile;
	readonly disk: Disk;
}

async function writeTo(context: CommandContext, o: FlashOptions, { iso, file, disk }: Job): Promise<void> {
	const { signal } = context;
	const steps = new Steps(await openMonitor(process.stderr), ["check", "write", "compare"]);
	const checked = await steps.run("check", "Check the ISO with what lies beside it", () => checkRelease(iso, o.key));
	say([...describeDisk(disk), `${basename(iso)}, ${formatBytes(file.size)}`, ...describeCheck(checked)]);
	await confirm(disk, o, signal);
	const raw = await openRawDisk(`/dev/${disk.name}`);
	const started = performance.now();
	try {
		await checkSame(disk, raw.number);
		// Ctrl-C before this, while the ISO was checked say, costs nothing; after it, the disk's first bytes are gone.
		if (signal.aborted) throw untouched();
		const source = { fd: file.fd, size: file.size, sha256: checked.sha256 };
		const transfer = { source, target: raw, memory: raw.memory, signal, onProgress: steps.progress };
		const pieces = await steps
			.run("write", `Write it to /dev/${disk.name}`, () => writeAll(transfer))
			.catch((error) => {
				throw halfWritten(error, disk);
			});
		await steps
			.run("compare", "Read it back and compare", () => compareAll(transfer, pieces))
			.catch((error) => {
				throw notCompared(error, disk);
			});
		await file.assertUnchanged();
	} finally {
		await raw.close();
	}
	const seconds = (performance.now() - started) / 1000;
	const reread = await rereadPartitions(disk);
	const note = reread
		? ""
		: " The kernel could not read its new partitions: pull it out and put it in again to see them.";
	context.print(
		() => `${disk.name} holds ${basename(iso)}, read back and compared, after ${formatTime(seconds)}.${note}\n`,
		() => ({
			...{ iso, size: file.size, sha256: checked.sha256, checksum: checked.checksum, signature: checked.signature },
			disk: { ...disk, path: `/dev/${disk.name}` },
			...{ compared: true, partitionsRead: reread, seconds },
		}),
	);
}

/** The block device that the path, or the link, leads to. Errors: E_DEVICE. */
async function diskAt(path: string): Promise<Disk> {
	const next = "Name the whole disk, such as /dev/sdb; `lsblk -o NAME,SIZE,MODEL,TRAN,RM` shows them.";
	const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
		throw new SlipwayError("E_DEVICE", `There is no ${path} (${cause.code}).`, { next, cause });
	});
	const disk = found.isBlockDevice()
		? await readDisk("/", numberOf(found.rdev), (name) => blkid(run, name))
		: undefined;
	if (disk !== undefined) return disk;
	throw new SlipwayError("E_DEVICE", `${path} is not a block device.`, { next });
}

async function wish(root: string, iso: string, size: number, yesReally: boolean) {
	const uses = new Uses("/", new BlockDevices("/"));
	const precious = [
		{ point: await uses.mountPointOf(await realpath(root)), what: "this project" },
		{ point: await uses.mountPointOf(iso), what: "the ISO itself" },
	];
	return {
		size,
		yesReally,
		precious: precious.flatMap(({ point, what }) => (point === undefined ? [] : [{ point, what }])),
	};
}

/** Asks on a terminal; scripts say it with switches. Errors: E_USAGE, E_INTERRUPTED. */
async function confirm(disk: Disk, o: FlashOptions, signal: AbortSignal): Promise<void> {
	if (o.yes === true) return;
	if (process.stdin.isTTY !== true) {
		if (o.yesReally === true) return;
		throw new SlipwayError("E_USAGE", "There is no terminal to ask on.", {
			next: "Add --yes, if this is the right disk.",
		});
	}
	const terminal = createInterface({ input: process.stdin, output: process.stderr });
	// The terminal is in raw mode while it asks, so that Ctrl-C is a key and no signal.
	terminal.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
	try {
		const answer = await terminal.question(`EVERYTHING on ${disk.name} will be lost. Type ${disk.name} to go on: `, {
			signal,
		});
		if (answer.trim() === disk.name || answer.trim() === `/dev/${disk.name}`) return;
		throw new SlipwayError("E_INTERRUPTED", "That is not its name. Nothing was written.", { next: "Run it again." });
	} catch (error) {
		if (error instanceof SlipwayError) throw error;
		throw untouched(error);
	} finally {
		terminal.close();
	}
}

/** While a person was asked, somebody may have swapped the sticks. Errors: E_DEVICE. */
async function checkSame(disk: Disk, number: string): Promise<void> {
	const now = await readDisk("/", number);
	const identity = (one: Disk | undefined) => [one?.name, one?.sequence, one?.serial, one?.size].join();
	if (identity(now) === identity(disk)) return;
	throw new SlipwayError("E_DEVICE", `${disk.name} is another disk now. Nothing was written.`, {
		next: "Run it again.",
	});
}

function untouched(cause?: unknown): SlipwayError {
	return new SlipwayError("E_INTERRUPTED", "Interrupted. Nothing was written.", { next: "Run it again.", cause });
}

function halfWritten(error: unknown, { name }: Disk): SlipwayError {
	const { code, message } = asSlipway(error);
	const next =
		"Put it in again if it was pulled out, and run the same command again; if that fails too, use another one.";
	return new SlipwayError(code, `${message} ${name} is HALF WRITTEN: it starts nothing, and what was on it is lost.`, {
		next,
		cause: error,
	});
}

function notCompared(error: unknown, { name }: Disk): SlipwayError {
	const known = asSlipway(error);
	if (known.code === "E_DIGEST_MISMATCH") return known;
	return new SlipwayError(known.code, `${known.message} ${name} is written, but it was NOT COMPARED to its end.`, {
		next: "Run the same command again.",
		cause: error,
	});
}

function asSlipway(error: unknown): SlipwayError {
	if (error instanceof SlipwayError) return error;
	return new SlipwayError("E_IO", `${(error as Error).message}.`, { cause: error });
}

/** Best effort: the ISO is written, whatever comes of this. udev looks at a disk that was written to, and keeps it busy for a moment. */
async function rereadPartitions({ name }: Disk): Promise<boolean> {
	for (let left = 5; ; left--) {
		const done = await run("blockdev", ["--rereadpt", `/dev/${name}`], { accept: [0, 1] }).catch(() => undefined);
		if (done?.exitCode === 0) return true;
		if (left === 0 || done?.stderr.includes("busy") !== true) return false;
		await sleep(400);
	}
}

function say(lines: readonly string[]): void {
	process.stderr.write(`${lines.join("\n")}\n`);
}
