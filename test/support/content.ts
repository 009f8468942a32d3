import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ApplianceConfig, applianceConfig } from "../../bundle/appliance.ts";
import type { ContentRelease } from "../../bundle/index-schema.ts";
import { makeRelease } from "../../bundle/release.ts";
import { makeTestBundle, type TestBundle, type TestBundleOptions, type TestSigner, testSigner } from "./bundles.ts";

/** A content folder as an ISO carries it, and a configuration for an agent that loads it, all under one folder. */
export interface TestContent {
	readonly dir: string;
	readonly content: string;
	readonly signer: TestSigner;
	readonly bundles: readonly TestBundle[];
	readonly release: ContentRelease;
	/** Loopback, any free ports, store and run folder under `dir`. */
	config(extra?: object): ApplianceConfig;
	/** Signs the release anew, with changes. */
	writeRelease(change?: Partial<ContentRelease>, signer?: TestSigner): Promise<void>;
}

let latest = 0;

/**
 * Makes bundles, signed by one key, and the signed release that names them all, each required. What is made later has later
 * sequences, so that a box takes it after what was made before.
 */
export async function makeContent(
	dir: string,
	bundles: readonly TestBundleOptions[] = [{}],
	signer: TestSigner = testSigner(),
): Promise<TestContent> {
	const content = join(dir, "content");
	await mkdir(content, { recursive: true });
	const sequence = ++latest;
	const made: TestBundle[] = [];
	for (const options of bundles) {
		const input = { arch: "any" as const, sequence, ...options.input };
		made.push(await makeTestBundle(content, { signer, ...options, input }));
	}
	await rm(join(content, "blobs"), { recursive: true });
	await writeFile(join(dir, "trust.pem"), signer.publicKeyPem);
	const release: ContentRelease = {
		format: 1,
		critical: [],
		product: "slipway",
		version: "1.0.0",
		sequence,
		bundles: made.map(({ index, indexDigest }) => ({
			name: index.name,
			version: index.version,
			arch: index.arch,
			fips: index.fips,
			indexDigest,
			required: true,
		})),
		roots: [],
		releasedAt: "2026-01-02T03:04:05Z",
		audience: "tests",
		annotations: {},
	};
	const writeRelease = async (change: Partial<ContentRelease> = {}, by = signer) =>
		writeFile(join(content, "release.dsse.json"), await makeRelease({ ...release, ...change }, by));
	await writeRelease();
	const base = {
		content,
		trust: join(dir, "trust.pem"),
		store: join(dir, "store"),
		run: join(dir, "run"),
		boot: join(dir, "boot"),
		network: { registryPort: 0, statusPort: 0 },
		serve: "store", // whatever file system the tests run on
	};
	return {
		dir,
		content,
		signer,
		bundles: made,
		release,
		writeRelease,
		config: (extra = {}) => applianceConfig.parse({ ...base, ...extra }),
	};
}
