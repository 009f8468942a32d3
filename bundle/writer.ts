import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import manifest from "../package.json" with { type: "json" };
import { BufferPool } from "./buffers.ts";
import type { ClosureBlob } from "./closure.ts";
import { COMPRESSOR, compressFrame, isCompressedType } from "./compress.ts";
import { type Contents, collectContents, type WriterPack } from "./contents.ts";
import { blobPath, sha256Hex } from "./digest.ts";
import { type EnvelopeSigner, signEnvelope } from "./dsse.ts";
import { SlipwayError } from "./errors.ts";
import { FrameFile, ioError } from "./frame-file.ts";
import { rawFrame } from "./frames.ts";
import { parseIndex } from "./index-check.ts";
import { type BundleIndex, PAYLOAD_TYPE } from "./index-schema.ts";
import { encodeLayoutIndex } from "./layout.ts";
import { OCI_LAYOUT } from "./oci.ts";
import { readExactly } from "./read.ts";
import { signatureName } from "./signature-file.ts";
import { blobSlots, bufferSlots, SLOT, SLOT_BUFFER, type Slot } from "./slots.ts";
import { encodeTail } from "./tail.ts";
import { END_SIZE, entryLength, headerLength } from "./tar.ts";
import { hashWholeFile } from "./whole-file.ts";

type Described = "packs" | "names" | "files" | "blobs" | "frames" | "dataLength";

export interface BundleInput extends Omit<BundleIndex, "format" | "critical" | "writer" | Described> {
	readonly packs: readonly WriterPack[];
	/** Folder with every blob at `<algorithm>/<hex>`. */
	readonly blobDir: string;
	/** Programs and versions that made it; default: this one and its compressor. */
	readonly writer?: BundleIndex["writer"];
	/** Bytes of the tar that are written, and all of them. */
	readonly onProgress?: (done: number, total: number) => void;
	readonly signal?: AbortSignal;
}

export interface WrittenBundle {
	readonly path: string;
	readonly sigPath: string;
	/** SHA-256 of the signed index, hex: the identity of the bundle. */
	readonly indexDigest: string;
	/** SHA-256 of the whole file, hex. */
	readonly sha256: string;
	readonly size: number;
	readonly index: BundleIndex;
}

/**
 * Writes a bundle and its `.sig.bin`. The same input and signatures give the same bytes. Every blob is hashed again while
 * it is written. Both files appear under their names complete and on the disk, or not at all.
 * Errors: those of collectContents and parseIndex; E_LIMIT, E_KEY_MISSING, E_NO_SPACE, E_IO, E_INTERRUPTED.
 */
export async function writeBundle(input: BundleInput, out: string, signer: EnvelopeSigner): Promise<WrittenBundle> {
	const contents = await collectContents(input.packs, input.blobDir);
	await checkSpace(contents.blobs, out);
	const sigPath = signatureName(out);
	const suffix = `.tmp-${process.pid}-${randomBytes(4).toString("hex")}`;
	try {
		const { signature, ...written } = await writeFile(input, contents, out + suffix, signer);
		await writeSynced(sigPath + suffix, signature);
		// A crash between the two leaves a signature without its bundle, or with an older one: both are refused.
		await rename(sigPath + suffix, sigPath).catch(ioError);
		await rename(out + suffix, out).catch(ioError);
		await syncFolder(dirname(out));
		return { path: out, sigPath, ...written };
	} catch (error) {
		await Promise.all([rm(out + suffix, { force: true }), rm(sigPath + suffix, { force: true })]);
		throw error;
	}
}

type FileResult = Omit<WrittenBundle, "path" | "sigPath"> & { signature: Buffer };

async function writeFile(
	input: BundleInput,
	contents: Contents,
	temp: string,
	signer: EnvelopeSigner,
): Promise<FileResult> {
	const { O_RDWR, O_CREAT, O_EXCL } = constants;
	const fd = await open(temp, O_RDWR | O_CREAT | O_EXCL, 0o644).catch(ioError);
	const expected = contents.blobs.reduce((sum, blob) => sum + blob.size, 0);
	const whole = hashWholeFile(fd, expected, { sha256: true });
	const file = new FrameFile(fd, whole);
	try {
		const records = await writeFrames(input, contents, file);
		let payload: Buffer = Buffer.alloc(0);
		let index: BundleIndex | undefined;
		await file.finish(async () => {
			payload = encodeIndex(input, contents, records, file);
			index = parseIndex(payload); // what every reader will ask
			const { payloadType, signatures } = await signEnvelope(PAYLOAD_TYPE.bundleIndex, payload, signer);
			return encodeTail(payload, Buffer.from(JSON.stringify({ payloadType, signatures })), file.frames);
		});
		const { sha256 } = await whole.result();
		const [signature] = await Promise.all([
			signer.sign(sha256!, () => readFrom(fd, file.size)),
			fd.sync().catch(ioError), // the signer reads from the page cache meanwhile
		]);
		return { signature, indexDigest: sha256Hex(payload), sha256: sha256!, size: file.size, index: index! };
	} finally {
		await file.settle();
		await whole.stop();
		await fd.close();
	}
}

type Records = Pick<BundleIndex, "files" | "blobs">;

/** Writes all data frames, in the order of the tar, and notes where everything stands. */
async function writeFrames(input: BundleInput, contents: Contents, file: FrameFile): Promise<Records> {
	const metadata = contents.blobs.filter((b) => b.metadata);
	const layers = contents.blobs.filter((b) => !b.metadata);
	const layout = [
		{ name: "oci-layout" as const, data: OCI_LAYOUT },
		{ name: "index.json" as const, data: encodeLayoutIndex(contents.names) },
	].map((f) => ({ ...f, size: f.data.length }));
	const entries = contents.blobs.map((b) => ({ name: blobPath(b.digest), size: b.size }));
	const total = [...layout, ...entries].reduce((sum, e) => sum + entryLength(e), END_SIZE);
	const records: Records = { files: [], blobs: [] };
	const pool = new BufferPool(SLOT_BUFFER);
	let at = 0;
	const place = (entry: { name: string; size: number }) => {
		const tarOffset = at + headerLength(entry);
		at += entryLength(entry);
		input.onProgress?.(at, total);
		if (input.signal?.aborted === true) throw new SlipwayError("E_INTERRUPTED", "Writing the bundle was stopped.");
		return tarOffset;
	};
	for (const { name, size, data } of layout) {
		records.files.push({ name, sha256: sha256Hex(data), size, tarOffset: place({ name, size }) });
	}
	await addTogether(
		file,
		layout.map((f) => ({ length: entryLength(f), slots: () => bufferSlots(f, f.data) })),
	);
	const frames = await addTogether(
		file,
		metadata.map((b) => ({
			length: entryLength({ name: blobPath(b.digest), size: b.size }),
			slots: () => smallSlots(input.blobDir, b, pool),
		})),
	);
	const record = ({ digest, size }: ClosureBlob, frame: number) => {
		records.blobs.push({ digest, size, tarOffset: place({ name: blobPath(digest), size }), frame });
	};
	for (const [i, blob] of metadata.entries()) record(blob, frames[i]!);
	for (const blob of layers) {
		record(blob, file.count);
		await addBlob(file, blob, input, pool);
	}
	await file.add(compressFrame(Buffer.alloc(END_SIZE)), END_SIZE);
	return records;
}

/** A metadata blob's slots, copied out of the pool: they wait for others to share a frame. */
async function* smallSlots(blobDir: string, blob: ClosureBlob, pool: BufferPool): AsyncGenerator<Buffer> {
	for await (const slot of blobSlots(blobDir, blob, pool)) {
		yield Buffer.from(slot.bytes);
		pool.give(slot.buffer);
	}
}

interface Item {
	readonly length: number;
	readonly slots: () => Iterable<Buffer> | AsyncIterable<Buffer>;
}

/** Adds small entries, as many to a frame as fit; a larger one gets frames of its own. Gives each one's first frame. */
async function addTogether(file: FrameFile, items: readonly Item[]): Promise<number[]> {
	const first: number[] = [];
	let group: Buffer[] = [];
	let size = 0;
	const flush = async () => {
		if (size > 0) await file.add(compressFrame(Buffer.concat(group)), size);
		group = [];
		size = 0;
	};
	for (const { length, slots } of items) {
		if (size + length > SLOT) await flush();
		first.push(file.count);
		for await (const slot of slots()) {
			group.push(slot);
			size += slot.length;
			if (length > SLOT) await flush();
		}
	}
	await flush();
	return first;
}

/** Adds a layer in frames of its own: raw if it is compressed already, by its media type or as its first frame shows. */
async function addBlob(file: FrameFile, blob: ClosureBlob, input: BundleInput, pool: BufferPool): Promise<void> {
	let raw = isCompressedType(blob.mediaType);
	let first = true;
	for await (const slot of blobSlots(input.blobDir, blob, pool, () => raw)) {
		const frame = makeFrame(slot, raw);
		if (first && !raw) raw = (await frame).length >= slot.plain;
		first = false;
		await file.add(frame, slot.plain, () => pool.give(slot.buffer));
		if (input.signal?.aborted === true) throw new SlipwayError("E_INTERRUPTED", "Writing the bundle was stopped.");
	}
}

async function makeFrame(slot: Slot, raw: boolean): Promise<Buffer> {
	if (slot.raw) return slot.bytes;
	return raw ? rawFrame(slot.bytes) : compressFrame(slot.bytes);
}

/** The payload: one line of JSON, keys in the order of the format's page. Errors: E_LIMIT (encodeTail). */
function encodeIndex(input: BundleInput, contents: Contents, records: Records, file: FrameFile): Buffer {
	const index: BundleIndex = {
		format: 1,
		critical: [],
		name: input.name,
		version: input.version,
		sequence: input.sequence,
		arch: input.arch,
		fips: input.fips,
		product: input.product,
		productVersions: input.productVersions,
		cloudTypes: input.cloudTypes,
		useCases: input.useCases,
		minAgent: input.minAgent,
		created: input.created,
		writer: input.writer ?? { slipway: manifest.version, zstd: COMPRESSOR },
		packs: contents.packs.map(({ name, version, layer, arch, fips, licence, names }) => ({
			name,
			version,
			layer,
			arch,
			fips,
			licence,
			names,
		})),
		names: contents.names.map(({ ref, digest, mediaType, size, platforms, absent }) => ({
			ref,
			digest,
			mediaType,
			size,
			platforms,
			absent,
		})),
		...records,
		frames: file.frames.map(([compressed, plain, sha256]) => [compressed, plain, sha256]),
		requires: input.requires,
		exceptions: input.exceptions,
		dataLength: file.size,
		annotations: input.annotations,
	};
	return Buffer.from(JSON.stringify(index));
}

async function* readFrom(fd: FileHandle, size: number): AsyncGenerator<Buffer> {
	const room = Buffer.allocUnsafeSlow(SLOT);
	for (let at = 0; at < size; at += SLOT) yield await readExactly(fd, at, Math.min(SLOT, size - at), room);
}

/** What will be stored as it is must fit; how far the rest shrinks is seen while writing. */
async function checkSpace(blobs: readonly ClosureBlob[], out: string): Promise<void> {
	const { bavail, bsize } = await statfs(dirname(out)).catch(ioError);
	const needed = blobs.filter((b) => isCompressedType(b.mediaType)).reduce((sum, b) => sum + b.size, 0);
	if (needed <= bavail * bsize) return;
	const mib = (bytes: number) => `${Math.ceil(bytes / 1024 / 1024)} MiB`;
	throw new SlipwayError("E_NO_SPACE", `${out} needs ${mib(needed)}; ${mib(bavail * bsize)} are free on its disk.`);
}

async function writeSynced(path: string, bytes: Buffer): Promise<void> {
	const fd = await open(path, "wx", 0o644).catch(ioError);
	try {
		await fd.writeFile(bytes).catch(ioError);
		await fd.sync().catch(ioError);
	} finally {
		await fd.close();
	}
}

async function syncFolder(path: string): Promise<void> {
	const fd = await open(path, constants.O_RDONLY | constants.O_DIRECTORY).catch(ioError);
	try {
		await fd.sync().catch(ioError);
	} finally {
		await fd.close();
	}
}
