import { type Closure, closeNames } from "./closure.ts";
import { type Digest, sha256Hex } from "./digest.ts";
import { SlipwayError } from "./errors.ts";
import type { BundleIndex, NameRecord } from "./index-schema.ts";
import { checkLayoutFiles } from "./layout.ts";
import { MAX_MANIFEST } from "./oci.ts";
import { type Bundle, readBlob, tarPlace, tarReader } from "./reader.ts";
import { inRegion, within } from "./regions.ts";
import { MAX_PAYLOAD } from "./tail.ts";

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
