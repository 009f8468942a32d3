import path from "node:path";
import { SlipwayError } from "../../../bundle/errors.ts";
import { type NameRecord, ref as refSchema } from "../../../bundle/index-schema.ts";
import { type Descriptor, isManifestType, MAX_MANIFEST, parseManifest, REF_NAME } from "../../../bundle/oci.ts";
import { type ImportSource, importName, manifestsOf } from "../../oci/import.ts";
import { type Layout, openLayout } from "../../oci/layout.ts";
import type { PackContext, SourceResult } from "../context.ts";
import type { PackOf } from "../definition.ts";

/**
 * Brings images out of an OCI image layout, byte for byte, with what refers to them. Children of a multi-arch index that
 * the layout does not have are listed as absent. Errors: E_PACK, E_OCI, E_DIGEST_MISMATCH.
 */
export async function buildOciLayout(pack: PackOf<"oci-layout">, context: PackContext): Promise<SourceResult> {
	const { blobs, bundle, arch } = context;
	const layout = await openLayout(path.resolve(context.folder, pack.path), blobs);
	const source = sourceOf(layout);
	const names: NameRecord[] = [];
	for (const [ref, root] of select(pack, layout)) names.push(await importName(blobs, ref, root, source));
	names.push(...(await referrers(names, layout, context)));
	const version = pack.version ?? bundle.version;
	const { name, layer, fips, licence } = pack;
	return { pack: { name, version, layer, arch, fips, licence, names }, exceptions: [] };
}

function sourceOf(layout: Layout): ImportSource {
	return { fetch: (blob) => layout.copy(blob), keep: (child) => layout.has(child) };
}

/** Full names and what they stand for in the layout. */
function select(pack: PackOf<"oci-layout">, { roots }: Layout): [string, Descriptor][] {
	const fail = (message: string) => new SlipwayError("E_PACK", `${pack.name}: ${message}`);
	const named = roots.flatMap((root): [string, Descriptor][] => {
		const name = root.annotations?.[REF_NAME];
		return name === undefined ? [] : [[name, root]];
	});
	if (pack.names !== undefined) {
		return Object.entries(pack.names).map(([from, to]) => {
			const found = named.find(([name]) => name === from);
			if (found === undefined)
				throw fail(`the layout has no ${from}; it has ${named.map(([name]) => name).join(", ") || "no names"}.`);
			return [to, found[1]];
		});
	}
	if (pack.as !== undefined) {
		const candidates = named.length > 0 ? named.map(([, root]) => root) : roots;
		if (candidates.length !== 1) throw fail(`the layout holds ${candidates.length} images; say which with \`names\`.`);
		return [[pack.as, candidates[0]!]];
	}
	const full = named.filter(([name]) => refSchema.safeParse(name).success);
	if (full.length === 0)
		throw fail("no image in the layout has a full name (host/path:tag); give one with `as` or `names`.");
	return full;
}

/** Manifests of the layout whose `subject` is in what was brought, and again for those. */
async function referrers(names: readonly NameRecord[], layout: Layout, { blobs }: PackContext): Promise<NameRecord[]> {
	const found: NameRecord[] = [];
	const source = sourceOf(layout);
	for (let level = names; level.length > 0; ) {
		const next: NameRecord[] = [];
		for (const name of level) {
			const repo = name.ref.replace(/(@[^@]*|:[^:/]*)$/, "");
			const subjects = new Set((await manifestsOf(blobs, name)).map((manifest) => manifest.digest));
			for (const root of layout.roots) {
				if (!isManifestType(root.mediaType) || root.size > MAX_MANIFEST) continue;
				const ref = `${repo}@${root.digest}`;
				if ([...names, ...found, ...next].some((known) => known.ref === ref)) continue;
				if (!(await blobs.has(root))) await layout.copy(root);
				const { subject } = parseManifest(await blobs.read(root.digest), root.mediaType);
				if (subject !== undefined && subjects.has(subject.digest))
					next.push(await importName(blobs, ref, root, source));
			}
		}
		found.push(...next);
		level = next;
	}
	return found;
}
