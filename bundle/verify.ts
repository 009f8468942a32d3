import { sha256Hex } from "./digest.ts";
import { type DetachedEnvelope, verifyEnvelope } from "./dsse.ts";
import { SlipwayError } from "./errors.ts";
import { joinSignatures, readFurther } from "./further-signatures.ts";
import { type BundleIndex, PAYLOAD_TYPE } from "./index-schema.ts";
import { type Bundle, openBundle } from "./reader.ts";
import { region } from "./regions.ts";
import { candidateKeys, readSignature, signatureName } from "./signature-file.ts";
import type { Trust } from "./trust.ts";
import { assertGoing, checkFrames, type DataOptions, verifyData } from "./verify-data.ts";
import { verifyNames } from "./verify-names.ts";
import { hashWholeFile } from "./whole-file.ts";

export interface VerifyOptions extends DataOptions {
	/** Bytes of the file that are done, and its size. What it returns is waited for: so others can be let go first. */
	readonly onProgress?: (done: number, total: number) => void | Promise<void>;
	/** The signed index, once it is authentic and every name's closure is known to be whole; before the data is read. Throw to refuse. */
	readonly onIndex?: (index: BundleIndex, indexDigest: string) => void | Promise<void>;
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
		const unchecked = await verifyData(bundle, options, (done) => {
			whole.advance(done);
			return options.onProgress?.(done, size);
		});
		whole.advance(size);
		const { signer } = await unlessAborted(whole.result(), options.signal);
		if (signer === undefined) {
			await checkFrames(bundle, unchecked, options.signal);
			throw onlySignatureWrong(bundle);
		}
		await bundle.assertUnchanged();
		await options.onProgress?.(size, size);
		const development = bundle.development || role.keys.get(signer)!.development;
		return { path, size, index, indexDigest, keys: bundle.keys, fileKey: signer, development };
	} finally {
		await whole.stop();
	}
}

/** The hash of a large file takes seconds: who stops it does not wait for that. Errors: E_INTERRUPTED. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
	if (signal === undefined) return work;
	let stop = () => {};
	const aborted = new Promise<void>((resolve) => {
		stop = resolve;
		signal.addEventListener("abort", stop, { once: true });
	});
	if (signal.aborted) stop();
	try {
		await Promise.race([work, aborted]);
		assertGoing(signal);
		return await work;
	} finally {
		signal.removeEventListener("abort", stop);
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
