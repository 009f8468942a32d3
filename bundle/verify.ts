import { createHash, type Hash } from "node:crypto";
import { type Closure, closeNames } from "./closure.ts";
import { type Digest, parseDigest, sha256Hex } from "./digest.ts";
import { type DetachedEnvelope, verifyEnvelope } from "./dsse.ts";
import { SlipwayError } from "./errors.ts";
import { MAX_PLAIN } from "./frames.ts";
import { joinSignatures, readFurther } from "./further-signatures.ts";
import { tarEntries } from "./index-check.ts";
import { type BundleIndex, type NameRecord, PAYLOAD_TYPE } from "./index-schema.ts";
import { checkLayoutFiles } from "./layout.ts";
import { MAX_MANIFEST } from "./oci.ts";
import { type Bundle, framePlace, openBundle, readBlob, readFrame, tarPlace, tarReader } from "./reader.ts";
import { inRegion, region } from "./regions.ts";
import { candidateKeys, readSignature, signatureName } from "./signature-file.ts";
import { MAX_PAYLOAD } from "./tail.ts";
import { TarChecker } from "./tar.ts";
import type { Trust } from "./trust.ts";
import { hashWholeFile } from "./whole-file.ts";

export interface VerifyOptions {
	/** Bytes of the file that are done, and its size. What it returns is waited for: so others can be let go first. */
	readonly onProgress?: (done: number, total: number) => void | Promise<void>;
	/** The signed index, once it is authentic and every name's closure is known to be whole; before the data is read. Throw to refuse. */
	readonly onIndex?: (index: BundleIndex, indexDigest: string) => void | Promise<void>;
	/** A piece of a blob, from a verified frame, in order. The chunk is the callee's until its promise settles. */
	readonly onBlobChunk?: (digest: Digest, chunk: Buffer) => void | Promise<void>;
	/** The blob is complete and has its digest. The whole-file signature may still fail: commit only after verifyBundle. */
	readonly onBlob?: (digest: Digest, size: number) => void | Promise<void>;
	readonly signal?: AbortSignal;
}

export interface VerifiedBundle {
	readonly path: string;
	readonly size: number;
	readonly index: BundleIndex;
	/** The identity of the bundle: SHA-256 of the signed index, hex. */
	readonly indexDigest: string;
	/** Ids of the keys that signed the index, and of the one that signed the file. */
	readonly keys: readonly string[];
	readonly fileKey: string;
	/** A development key is among them. */
	readonly development: boolean;
}

/** Frames in flight: enough to keep disk and decoder busy, little enough to bound memory. */
const FRAMES_AHEAD = 5;
const BYTES_AHEAD = 2 * MAX_PLAIN;

/** An open bundle whose index is signed by a trusted key and not denied: each of its frames can be checked by itself. */
export interface AuthenticBundle extends Bundle {
	/** The bytes of `.sig.bin`; whether they are a signature of this file is known when the whole has been read. */
	readonly signature: Buffer;
	/** Ids of the keys that signed the index. */
	readonly keys: readonly string[];
	/** A development key is among them. */
	readonly development: boolean;
}

/**
 * Refuses an index that no trusted key signed, or that is on the denylist; gives its digest and who signed it.
 * Errors: those of verifyEnvelope, E_DENIED.
 */
export function authenticateIndex(
	payload: Buffer,
	envelope: DetachedEnvelope,
	{ release: role }: Trust,
): { indexDigest: string; keys: readonly string[]; development: boolean } {
	const signed = verifyEnvelope(envelope, payload, PAYLOAD_TYPE.bundleIndex, role);
	const indexDigest = sha256Hex(payload);
	if (role.denyIndexes.has(indexDigest)) {
		throw new SlipwayError("E_DENIED", `The bundle with index ${indexDigest} is on the denylist.`);
	}
	return { indexDigest, ...signed };
}

/**
 * Opens a bundle and checks its index against the trusted keys before parsing it. Reads the signature file and the bundle's
 * tail, and further signatures, where there are any. Errors: E_UNSIGNED and those of openBundle, readFurther and authenticateIndex.
 */
export async function openAuthentic(path: string, trust: Trust): Promise<AuthenticBundle> {
	const signature = await readSignature(signatureName(path));
	const further = await readFurther(path);
	let authentic: { envelope: DetachedEnvelope; keys: readonly string[]; development: boolean } | undefined;
	const bundle = await openBundle(path, {
		authenticate: (payload, own) => {
			const envelope = joinSignatures(own, further);
			authentic = { envelope, ...authenticateIndex(payload, envelope, trust) };
		},
	});
	return { ...bundle, ...authentic!, signature };
}

/**
 * Verifies everything about a bundle, reading it once through one descriptor. Errors: those of openAuthentic and verifyContents.
 */
export async function verifyBundle(path: string, trust: Trust, options: VerifyOptions = {}): Promise<VerifiedBundle> {
	const bundle = await openAuthentic(path, trust);
	try {
		return await verifyContents(bundle, trust, options);
	} finally {
		await bundle.close();
	}
}

/**
 * Verifies what an authentic index does not yet prove: `.sig.bin` over the whole file, every frame, every byte of the tar,
 * every blob's digest, the closure of every name, and the layout's own list of names. Callbacks let a loader store the blobs in
 * the same pass. Beyond the index and the manifests, which have limits of their own, memory does not grow with the bundle; the
 * whole-file hash runs on a thread of its own. The bundle stays open.
 * Errors: E_SOURCE_CHANGED, E_INTERRUPTED; those of candidateKeys, closeNames, checkLayoutFiles, readFrame and TarChecker;
 * E_DIGEST_MISMATCH, E_BLOB_MISSING, E_INDEX, E_SIG_INVALID.
 */
export async function verifyContents(
	bundle: AuthenticBundle,
	trust: Trust,
	options: VerifyOptions = {},
): Promise<VerifiedBundle> {
	const { path, size, index, indexDigest, signature } = bundle;
	const sigPath = signatureName(path);
	const role = trust.release;
	const keys = candidateKeys(role, signature, sigPath);
	await verifyNames(bundle);
	await options.onIndex?.(index, indexDigest);
	const whole = hashWholeFile(bundle.fd, size, { signature, keys });
	try {
		await checkData(bundle, options, (done) => {
			whole.advance(done);
			return options.onProgress?.(done, size);
		});
		whole.advance(size);
		const { signer } = await whole.result();
		if (signer === undefined) throw onlySignatureWrong(bundle);
		await bundle.assertUnchanged();
		await options.onProgress?.(size, size);
		const development = bundle.development || role.keys.get(signer)!.development;
		return { path, size, index, indexDigest, keys: bundle.keys, fileKey: signer, development };
	} finally {
		await whole.stop();
	}
}

/** Index, seek table and every frame are good, so every byte of the file is what the index's signers meant. */
function onlySignatureWrong({ path }: Bundle): SlipwayError {
	const place = region.signatureFile(signatureName(path));
	return new SlipwayError(
		"E_SIG_INVALID",
		`The ${place} is no trusted key's signature over ${path}. Index, frames and seek table are good: it is the signature file that is damaged, or of another build, or by a key that is not trusted.`,
		{ next: "Fetch the signature file again from the bundle's source." },
	);
}

/**
 * Closure of every name, and the layout's two files: what can be known from metadata, before the bulk is read. With an
 * authentic index that is enough to show the names. Errors: those of closeNames and checkLayoutFiles, E_BLOB_MISSING, E_INDEX.
 */
export async function verifyNames(bundle: Bundle): Promise<void> {
	const { index } = bundle;
	const read = tarReader(bundle);
	const [ociLayout, indexJson] = await Promise.all(index.files.map((file) => readLayoutFile(bundle, file, read)));
	within(tarPlace(bundle, index.files[1]!.tarOffset, index.files[1]!.size), () =>
		checkLayoutFiles(ociLayout!, indexJson!, index.names),
	);
	const position = (digest: Digest) => bundle.blob(digest)?.tarOffset ?? -1;
	const closures = await closeNames(
		index.names,
		({ digest }) => readBlob(bundle, digest, MAX_MANIFEST, read),
		position,
	);
	within(bundle.indexPlace, () => {
		const referenced = new Set<Digest>();
		for (const name of index.names) checkClosure(bundle, name, closures.get(name.ref)!, referenced);
		const extra = index.blobs.find((blob) => !referenced.has(blob.digest));
		if (extra !== undefined)
			throw new SlipwayError("E_INDEX", `The bundle holds ${extra.digest}, which no name leads to.`);
	});
}

/** Runs a check of what stands at a place in the bundle. */
function within<T>(place: string, check: () => T): T {
	try {
		return check();
	} catch (error) {
		throw inRegion(place, error);
	}
}

async function readLayoutFile(
	bundle: Bundle,
	file: BundleIndex["files"][number],
	read: ReturnType<typeof tarReader>,
): Promise<Buffer> {
	const refuse = (code: "E_LIMIT" | "E_DIGEST_MISMATCH", what: string) =>
		inRegion(tarPlace(bundle, file.tarOffset, file.size), new SlipwayError(code, what));
	if (file.size > MAX_PAYLOAD) throw refuse("E_LIMIT", `${file.name} has ${file.size} bytes; 16 MiB are allowed.`);
	const bytes = await read(file.tarOffset, file.size);
	if (sha256Hex(bytes) !== file.sha256)
		throw refuse("E_DIGEST_MISMATCH", `The bytes of ${file.name} have another digest.`);
	return bytes;
}

function checkClosure(bundle: Bundle, name: NameRecord, closure: Closure, referenced: Set<Digest>): void {
	for (const { digest, size } of closure.blobs.values()) {
		const record = bundle.blob(digest);
		if (record === undefined)
			throw new SlipwayError("E_BLOB_MISSING", `${name.ref} leads to ${digest}, which the bundle does not hold.`);
		if (record.size !== size)
			throw new SlipwayError("E_OCI", `${name.ref} gives ${digest} ${size} bytes; the index gives it ${record.size}.`);
		referenced.add(digest);
	}
	const same = (a: readonly string[], b: readonly string[]) =>
		a.length === b.length && new Set([...a, ...b]).size === a.length;
	if (!same(name.absent, closure.absent) || !same(name.platforms, closure.platforms)) {
		throw new SlipwayError(
			"E_INDEX",
			`The platforms or absent images of ${name.ref} are not those that its manifests give.`,
		);
	}
	const present = closure.absent.find((digest) => bundle.blob(digest) !== undefined);
	if (present !== undefined)
		throw new SlipwayError("E_INDEX", `${name.ref} calls ${present} absent; the bundle holds it.`);
}

/** Every frame in order, every byte of the tar, every blob's digest. */
async function checkData(
	bundle: Bundle,
	options: VerifyOptions,
	onRead: (done: number) => void | Promise<void>,
): Promise<void> {
	const { files, blobs } = bundle.index;
	const checker = new TarChecker(tarEntries(bundle.index));
	let hash: Hash | undefined;
	let done = 0;
	for await (const [i, plain] of readAhead(bundle)) {
		if (options.signal?.aborted === true) throw new SlipwayError("E_INTERRUPTED", "Verification was stopped.");
		done += bundle.index.frames[i]![0];
		await onRead(done);
		for (const { entry, data, last } of located(checker.push(plain), framePlace(bundle, i))) {
			const blob = blobs[entry - files.length];
			// The two files have been read and compared already; their frames are in this pass for the tar around them.
			const algorithm = blob === undefined ? "sha256" : parseDigest(blob.digest).algorithm;
			hash ??= createHash(algorithm);
			// Writing goes on in the background while this thread hashes.
			const stored = blob === undefined || data.length === 0 ? undefined : options.onBlobChunk?.(blob.digest, data);
			hash.update(data);
			await stored;
			if (!last) continue;
			const found = hash.digest("hex");
			hash = undefined;
			const expected = blob === undefined ? files[entry]!.sha256 : parseDigest(blob.digest).hex;
			if (found !== expected) {
				const { tarOffset, size } = blob ?? files[entry]!;
				const what = `The bytes of ${blob?.digest ?? files[entry]!.name} have the digest ${found}.`;
				throw inRegion(tarPlace(bundle, tarOffset, size), new SlipwayError("E_DIGEST_MISMATCH", what));
			}
			if (blob !== undefined) await options.onBlob?.(blob.digest, blob.size);
		}
	}
	within(framePlace(bundle, bundle.index.frames.length - 1), () => checker.end());
}

/** The pieces, as they come; what the tar's check refuses is told with the frame. What the consumer throws is not touched. */
function* located<T>(pieces: Generator<T, void, void>, place: string): Generator<T, void, void> {
	try {
		yield* pieces;
	} catch (error) {
		throw inRegion(place, error);
	}
}

/**
 * Frames in order, decoded a few ahead; each is valid until the next is asked for. Settles everything it started before it
 * ends, so that the descriptor can be closed.
 */
async function* readAhead(bundle: Bundle): AsyncGenerator<[frame: number, plain: Buffer], void, void> {
	const { frames } = bundle.index;
	const largest = { compressed: 0, plain: 0 };
	for (const [compressed, plain] of frames) {
		largest.compressed = Math.max(largest.compressed, compressed);
		largest.plain = Math.max(largest.plain, plain);
	}
	const ahead = Math.max(2, Math.min(FRAMES_AHEAD, Math.floor(BYTES_AHEAD / largest.plain)));
	const rooms = Array.from({ length: ahead }, () => ({
		compressed: Buffer.allocUnsafeSlow(largest.compressed),
		plain: Buffer.allocUnsafeSlow(largest.plain),
	}));
	const start = (i: number) => {
		const frame = readFrame(bundle, i, rooms[i % ahead]!);
		frame.catch(() => undefined); // told when its turn comes
		return frame;
	};
	const flight: Promise<Buffer>[] = frames.slice(0, ahead).map((_, i) => start(i));
	try {
		for (let i = 0; i < frames.length; i++) {
			yield [i, await flight.shift()!];
			if (i + ahead < frames.length) flight.push(start(i + ahead)); // in the room that frame i has left
		}
	} finally {
		await Promise.allSettled(flight);
	}
}
