import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sha256Hex } from "../../bundle/digest.ts";
import { signEnvelope } from "../../bundle/dsse.ts";
import { rawFrame } from "../../bundle/frames.ts";
import { type BundleIndex, PAYLOAD_TYPE } from "../../bundle/index-schema.ts";
import { openBundle, readFrame } from "../../bundle/reader.ts";
import { signatureName } from "../../bundle/signature-file.ts";
import { encodeTail } from "../../bundle/tail.ts";
import { type TestBundle, type TestSigner, writeSignature } from "./bundles.ts";

/** What to change on the way to a forged bundle. Each step gets what the step before made. */
export interface Forgery {
	/** The plain tar; frames are made from the result, so their digests are right. */
	readonly tar?: (tar: Buffer) => Buffer;
	/** The data frames as they go into the file, with their records right. Default: one canonical raw frame. */
	readonly frames?: (tar: Buffer) => { frame: Buffer; plain: number }[];
	/** The index, after its frames have been made to fit. */
	readonly index?: (index: BundleIndex) => void;
	readonly payload?: (payload: Buffer) => Buffer;
	readonly payloadType?: string;
	readonly envelope?: (envelope: Buffer) => Buffer;
	/** The whole file, before `.sig.bin` is made. */
	readonly file?: (file: Buffer) => Buffer;
	/** Signs index and file; default: the key that the bundle was made with. */
	readonly signer?: TestSigner;
	/** Where to put it; default: `forged.zst` beside the good one. */
	readonly to?: string;
}

/**
 * Makes a bundle that its key holder really signed, but whose content is wrong in one way: what an attacker with the signing
 * tool, or a defect in another writer, could hand over. Gives its path.
 */
export async function forgeBundle(good: TestBundle, forgery: Forgery): Promise<string> {
	const { signer = good.signer } = forgery;
	const plain = await plainTar(good);
	const tar = forgery.tar?.(plain) ?? plain;
	const frames = forgery.frames?.(tar) ?? [{ frame: rawFrame(tar), plain: tar.length }];
	const index = structuredClone(good.index);
	index.frames = frames.map(({ frame, plain }) => [frame.length, plain, sha256Hex(frame)]);
	index.dataLength = frames.reduce((sum, f) => sum + f.frame.length, 0);
	for (const blob of index.blobs) blob.frame = 0;
	forgery.index?.(index);
	const json = Buffer.from(JSON.stringify(index));
	const payload = forgery.payload?.(json) ?? json;
	const { payloadType, signatures } = await signEnvelope(
		forgery.payloadType ?? PAYLOAD_TYPE.bundleIndex,
		payload,
		signer,
	);
	const signed = Buffer.from(JSON.stringify({ payloadType, signatures }));
	const envelope = forgery.envelope?.(signed) ?? signed;
	const tail = encodeTail(payload, envelope, index.frames);
	const whole = Buffer.concat([...frames.map((f) => f.frame), tail]);
	const file = forgery.file?.(whole) ?? whole;
	const path = forgery.to ?? join(dirname(good.path), "forged.zst");
	await writeFile(path, file);
	await writeSignature(signer, file, signatureName(path));
	return path;
}

/** The tar inside a bundle. */
export async function plainTar(good: Pick<TestBundle, "path">): Promise<Buffer> {
	const bundle = await openBundle(good.path);
	try {
		const frames: Buffer[] = [];
		for (let i = 0; i < bundle.index.frames.length; i++) frames.push(await readFrame(bundle, i));
		return Buffer.concat(frames);
	} finally {
		await bundle.close();
	}
}

/** The same buffer with one bit of one byte changed. */
export function flip(bytes: Buffer, at: number): Buffer {
	bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
	return bytes;
}
