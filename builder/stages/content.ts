import { createHash } from "node:crypto";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { sha256Hex } from "../../bundle/digest.ts";
import type { ContentRelease } from "../../bundle/index-schema.ts";
import { makeRelease } from "../../bundle/release.ts";
import { archiveResolve } from "../archive/answer.ts";
import { type BuiltBundle, buildBundle } from "../packs/build-bundle.ts";
import { definitionSources } from "../packs/definition.ts";
import { registryAccess } from "../packs/registry/access.ts";
import type { Build } from "../plan/build.ts";
import type { Stage, StageContext } from "../plan/stage.ts";
import { baseSchema } from "../profile/schema.ts";
import { recordingSigner } from "../signing/record.ts";
import { codeOf } from "./code.ts";
import type { ContentRecord } from "./content-record.ts";
import { localContentBytes } from "./content-size.ts";

const options = z.strictObject({
	bundles: z.array(z.strictObject({ name: z.string(), optional: z.boolean() })),
	product: z.string(),
	version: z.string(),
	suffix: z.string(),
	/** All of it: titles, provider and certificate stand in the images. */
	base: baseSchema,
	arch: z.enum(["amd64", "arm64"]),
	fips: z.boolean(),
	audience: z.string(),
	keyId: z.string(),
	/** The chain of statements, by file name. */
	statements: z.record(z.string(), z.base64()),
	/** Signed Release files of the archive when it was last asked: asked again, it may offer other packages. */
	archive: z.array(z.string()),
	pins: z.record(z.string(), archiveResolve),
	mirror: z.string().nullable(),
	/** What vouches for the packages. */
	keyringDigest: z.string().nullable(),
	epoch: z.int(),
});
type Options = z.infer<typeof options>;

/** The profile's bundles and the signed content release that names them. */
export const content: Stage<Options> = {
	name: "content",
	summary: "Build the content bundles and the content release",
	options,
	inputs: [],
	plan: (build) => ({
		bundles: build.profile.bundles.map(({ name, optional }) => ({ name, optional })),
		product: build.profile.product,
		version: build.version,
		suffix: build.version.slice(build.profile.version.length),
		base: build.base,
		arch: build.profile.arch,
		fips: build.profile.fips,
		audience: build.profile.audience,
		keyId: build.signer.keyId,
		statements: { ...build.trust.statements },
		archive: build.resolve.inRelease.map(({ sha256 }) => sha256),
		pins: { ...build.contentPins },
		mirror: build.mirror ?? null,
		keyringDigest: build.keyringDigest,
		epoch: build.epoch,
	}),
	sources: (build) => [
		...codeOf(import.meta.filename),
		join(build.root, "package-lock.json"),
		...build.bundles.flatMap(definitionSources),
	],
	secrets: ["registryAuth", "proToken"],
	// Packages, and what is local twice: as blobs of the cache and in the bundle.
	space: (build) => 2_000_000_000 + 2 * localContentBytes(build),
	async run(context) {
		const { build, options: o, out } = context;
		const { signer, signatures } = recordingSigner(build.signer);
		const folder = join(out, "content");
		await mkdir(folder);
		const built: BuiltBundle[] = [];
		for (const definition of build.bundles) {
			built.push(await buildOne(context, { ...build, signer }, definition, folder));
		}
		const release = releaseOf(o, built);
		await writeFile(join(folder, "release.dsse.json"), await makeRelease(release, signer));
		const statements = await writeStatements(o, folder);
		const record: ContentRecord = {
			release: sha256Hex(Buffer.from(JSON.stringify(release))),
			files: [
				await smallFile(join(folder, "release.dsse.json")),
				...statements,
				...(await Promise.all(built.map(({ sigPath }) => smallFile(sigPath)))),
				...built.map(({ path, size, sha256 }) => ({ path: basename(path), size, sha256 })),
			],
			bundles: built.map(({ path, sha256, size }, i) => ({
				file: basename(path),
				...release.bundles[i]!,
				sha256,
				size,
			})),
			archives: Object.fromEntries(
				built.flatMap(({ index, resolve }) => (resolve === undefined ? [] : [[index.name, resolve]])),
			),
			signatures,
		};
		await writeFile(join(out, "content.json"), `${JSON.stringify(record, null, "\t")}\n`);
	},
};

async function buildOne(
	context: StageContext<Options>,
	build: Build,
	definition: Build["bundles"][number],
	outDir: string,
): Promise<BuiltBundle> {
	const { options: o, run, signal, progress, log } = context;
	// Read through the context too, so that what is in it is masked in the log.
	await context.secret("registryAuth");
	const token = await context.secret("proToken");
	return await buildBundle({
		root: build.root,
		definition,
		base: build.base,
		arch: o.arch,
		fips: o.fips,
		versionSuffix: o.suffix,
		epoch: o.epoch,
		signer: build.signer,
		cacheDir: build.cacheDir,
		outDir,
		mirror: build.mirror,
		keyring: build.keyring,
		pinned: o.pins[definition.name],
		proTokenFile: token?.file,
		refresh: build.refresh,
		registry: await registryAccess(process.env),
		run,
		signal,
		onPack: (name, cached) => log(`pack ${name}: ${cached ? "cached" : "built"}`),
		onProgress: progress,
	});
}

/** A later build has a later sequence: seconds fit it until 2038, and floors compare nothing else. */
function releaseOf(o: Options, built: readonly BuiltBundle[]): ContentRelease {
	const optional = new Set(o.bundles.filter((bundle) => bundle.optional).map((bundle) => bundle.name));
	return {
		format: 1,
		critical: [],
		product: o.product,
		version: o.version,
		sequence: o.epoch,
		bundles: built.map(({ index: { name, version, arch, fips }, indexDigest }) => ({
			...{ name, version, arch, fips, indexDigest },
			required: !optional.has(name),
		})),
		// The ISO release ties this content to its root image; the release itself fits every root that trusts the key.
		roots: [],
		releasedAt: new Date(o.epoch * 1000).toISOString().replace(".000Z", "Z"),
		audience: o.audience,
		annotations: {},
	};
}

async function writeStatements(o: Options, folder: string): Promise<ContentRecord["files"]> {
	const files: ContentRecord["files"] = [];
	for (const [name, base64] of Object.entries(o.statements)) {
		const file = join(folder, "statements", name);
		await mkdir(join(folder, "statements"), { recursive: true });
		await writeFile(file, Buffer.from(base64, "base64"));
		files.push({ ...(await smallFile(file)), path: `statements/${name}` });
	}
	return files;
}

async function smallFile(file: string): Promise<ContentRecord["files"][number]> {
	const sha256 = createHash("sha256")
		.update(await readFile(file))
		.digest("hex");
	return { path: basename(file), size: (await stat(file)).size, sha256 };
}
