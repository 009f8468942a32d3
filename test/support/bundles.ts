import { createHash, createSign, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { blobFile, type WriterPack } from "../../bundle/contents.ts";
import type { EnvelopeSigner, Role } from "../../bundle/dsse.ts";
import type { NameRecord } from "../../bundle/index-schema.ts";
import { loadPublicKey } from "../../bundle/keys.ts";
import { type Descriptor, MEDIA_TYPE } from "../../bundle/oci.ts";
import { DEVELOPMENT_MARK } from "../../bundle/role.ts";
import type { Trust } from "../../bundle/trust.ts";
import { type BundleInput, type WrittenBundle, writeBundle } from "../../bundle/writer.ts";

/**
 * Makes keys, images, blob folders and bundles for tests, in the manner of go-containerregistry's `random`. Content comes
 * from a seed, so that a failure can be seen again.
 */

export interface TestSigner extends EnvelopeSigner {
	readonly publicKeyPem: string;
	readonly development: boolean;
	readonly privateKey: KeyObject;
	used(): ReadonlyMap<string, string>;
}

/** A fresh key pair that signs the way the builder's signer does, and keeps its signatures. */
export function testSigner(
	options: { curve?: "P-256" | "P-384"; rsaBits?: number; development?: boolean } = {},
): TestSigner {
	const { privateKey, publicKey } =
		options.rsaBits === undefined
			? generateKeyPairSync("ec", { namedCurve: options.curve ?? "P-256" })
			: generateKeyPairSync("rsa", { modulusLength: options.rsaBits });
	const development = options.development === true;
	return signerOf(privateKey, publicKey.export({ format: "pem", type: "spki" }) as string, development);
}

/** A signer for a key pair that is there already. */
export function signerOf(privateKey: KeyObject, pem: string, development = false): TestSigner {
	const publicKeyPem = development ? `${DEVELOPMENT_MARK}\n${pem}` : pem;
	const used = new Map<string, string>();
	return {
		keyId: loadPublicKey(pem).keyId,
		publicKeyPem,
		development,
		privateKey,
		used: () => used,
		sign: async (digest, open) => {
			const known = used.get(digest);
			if (known !== undefined) return Buffer.from(known, "base64");
			const sign = createSign("sha256");
			for await (const chunk of open()) sign.update(chunk);
			const signature = sign.sign(privateKey);
			used.set(digest, signature.toString("base64"));
			return signature;
		},
	};
}

/** A trust store that holds these keys for releases, and `root` ones, if any, for statements. */
export function trustOf(
	signers: TestSigner | readonly TestSigner[],
	role: Partial<Omit<Role, "keys">> = {},
	root: readonly TestSigner[] = [],
): Trust {
	const roleOf = (list: readonly TestSigner[]) => {
		const keys = list.map(
			(s) => [s.keyId, { key: loadPublicKey(s.publicKeyPem), development: s.development }] as const,
		);
		return { threshold: 1, denyKeys: new Set<string>(), denyIndexes: new Set<string>(), ...role, keys: new Map(keys) };
	};
	const release = roleOf([signers].flat() as TestSigner[]);
	return { release, ...(root.length > 0 ? { root: roleOf(root) } : {}), statements: [] };
}

/** Bytes that look random and depend on the seed alone. */
export function seededBytes(seed: string, size: number): Buffer {
	const out = Buffer.alloc(size);
	for (let at = 0, i = 0; at < size; i++) at += createHash("sha512").update(`${seed} ${i}`).digest().copy(out, at);
	return out;
}

type Blob = Pick<Descriptor, "mediaType" | "digest" | "size">;

/** Puts a blob into a blob folder. */
export async function putBlob(
	blobDir: string,
	data: Buffer,
	mediaType: string,
	algorithm: "sha256" | "sha512" = "sha256",
): Promise<Blob> {
	const digest = `${algorithm}:${createHash(algorithm).update(data).digest("hex")}`;
	const file = blobFile(blobDir, digest);
	await mkdir(dirname(file), { recursive: true });
	await writeFile(file, data);
	return { mediaType, digest, size: data.length };
}

export interface ImageOptions {
	readonly seed?: string;
	/** Bytes of each layer. */
	readonly layers?: readonly number[];
	/** Layers of repetitive text with a media type that says "not compressed"; else random, said to be gzip. */
	readonly compressible?: boolean;
	readonly algorithm?: "sha256" | "sha512";
	readonly subject?: Blob;
	readonly architecture?: string;
}

/** Puts a random image (config, layers, manifest) into a blob folder and gives its manifest's descriptor. */
export async function putImage(blobDir: string, options: ImageOptions = {}): Promise<Blob> {
	const { seed = "image", compressible = false, algorithm = "sha256", architecture = "amd64" } = options;
	const layers = await Promise.all(
		(options.layers ?? [1500]).map((size, i) => {
			const data = compressible ? Buffer.alloc(size, `${seed} layer ${i} `) : seededBytes(`${seed} layer ${i}`, size);
			const mediaType = `application/vnd.oci.image.layer.v1.tar${compressible ? "" : "+gzip"}`;
			return putBlob(blobDir, data, mediaType, algorithm);
		}),
	);
	const config = {
		architecture,
		os: "linux",
		rootfs: { type: "layers", diff_ids: layers.map((l) => l.digest) },
		config: { Labels: { seed } },
	};
	const manifest = {
		schemaVersion: 2,
		mediaType: MEDIA_TYPE.ociManifest,
		config: await putJson(blobDir, config, MEDIA_TYPE.ociConfig, algorithm),
		layers,
		...(options.subject === undefined ? {} : { subject: options.subject }),
	};
	return putJson(blobDir, manifest, MEDIA_TYPE.ociManifest, algorithm);
}

/** Puts an image index over these children (`linux/<arch>` each) into a blob folder. */
export async function putIndex(blobDir: string, children: readonly { arch: string; image: Blob }[]): Promise<Blob> {
	const manifests = children.map(({ arch, image }) => ({ ...image, platform: { os: "linux", architecture: arch } }));
	return putJson(blobDir, { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }, MEDIA_TYPE.ociIndex);
}

export function putJson(
	blobDir: string,
	value: unknown,
	mediaType: string,
	algorithm?: "sha256" | "sha512",
): Promise<Blob> {
	return putBlob(blobDir, Buffer.from(JSON.stringify(value)), mediaType, algorithm);
}

/** A name for an image in a blob folder. */
export function nameOf(ref: string, image: Blob, absent: readonly string[] = []): NameRecord {
	return {
		ref,
		digest: image.digest,
		mediaType: image.mediaType,
		size: image.size,
		platforms: [],
		absent: [...absent],
	};
}

export function packOf(name: string, names: readonly NameRecord[], extra: Partial<WriterPack> = {}): WriterPack {
	return { name, version: "1.0.0", layer: "app", arch: "amd64", fips: false, licence: "Apache-2.0", names, ...extra };
}

/** Input for the writer, with everything that a test does not care about filled in. */
export function inputOf(blobDir: string, packs: readonly WriterPack[], extra: Partial<BundleInput> = {}): BundleInput {
	return {
		name: "test",
		version: "1.0.0",
		sequence: 1,
		arch: "amd64",
		fips: false,
		product: "slipway",
		productVersions: ["1"],
		cloudTypes: [],
		useCases: [],
		minAgent: "0.1.0",
		created: "2026-01-02T03:04:05Z",
		requires: [],
		exceptions: [],
		annotations: {},
		packs,
		blobDir,
		...extra,
	};
}

export interface TestBundle extends WrittenBundle {
	readonly signer: TestSigner;
	readonly trust: Trust;
	readonly blobDir: string;
	readonly names: readonly NameRecord[];
}

export interface TestBundleOptions extends ImageOptions {
	readonly signer?: TestSigner;
	/** Names, each with an image of its own. */
	readonly refs?: readonly string[];
	/** Puts content of the test's own into the blob folder and gives its names, instead of `refs`. */
	readonly fill?: (blobDir: string) => Promise<readonly NameRecord[]>;
	readonly input?: Partial<BundleInput>;
	/** File name; default `<name>-<version>-<arch>[-fips].zst`. */
	readonly file?: string;
}

/** Makes a signed bundle with one random image per name, in `dir`. */
export async function makeTestBundle(dir: string, options: TestBundleOptions = {}): Promise<TestBundle> {
	const { signer = testSigner(), refs = ["example.com/app/one:1.0"], seed = randomBytes(8).toString("hex") } = options;
	const blobDir = join(dir, "blobs");
	await mkdir(blobDir, { recursive: true });
	const names = [...((await options.fill?.(blobDir)) ?? [])];
	for (const ref of options.fill ? [] : refs)
		names.push(nameOf(ref, await putImage(blobDir, { ...options, seed: `${seed} ${ref}` })));
	const { arch = "amd64", fips = false, name = "test", version = "1.0.0" } = options.input ?? {};
	const input = inputOf(blobDir, [packOf("pack", names, { arch, fips })], options.input);
	const file = options.file ?? `${name}-${version}-${arch}${fips === true ? "-fips" : ""}.zst`;
	const written = await writeBundle(input, join(dir, file), signer);
	return { ...written, signer, trust: trustOf(signer), blobDir, names };
}

/** Signs a file again, as a key holder would who was handed a changed one. */
export async function writeSignature(signer: TestSigner, bytes: Buffer, sigPath: string): Promise<void> {
	await writeFile(sigPath, createSign("sha256").update(bytes).sign(signer.privateKey));
}
