import { link, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { vi } from "vitest";
import { probe } from "../../agent/preflight/probe.ts";
import { run } from "../../builder/tools/run.ts";
import { signEnvelope } from "../../bundle/dsse.ts";
import { bundleIndex, type ContentRelease, PAYLOAD_TYPE } from "../../bundle/index-schema.ts";
import { makeRelease } from "../../bundle/release.ts";
import { signatureName } from "../../bundle/signature-file.ts";
import { noteStart } from "../support/appliance-boot.ts";
import { makeTestBundle, type TestBundle, type TestSigner, testSigner } from "../support/bundles.ts";
import { type Forgery, forgeBundle } from "../support/forge.ts";
import { openFiles } from "../support/open-files.ts";
import type { Offer, TrustChoice } from "./family.ts";

/** Names that the good content brings: a refusal means that none of them answers. */
const REFS = ["a.example/core/one:1", "a.example/core/two:1"];

/** What is larger is a hole, and no bundle. */
const MAX_READ = 64 * 2 ** 20;
const schema = bundleIndex.pick({ name: true, version: true, arch: true, fips: true }).loose();

function payloadOf(file: Buffer, trailer: number): unknown {
	try {
		const end = trailer - file.readUInt32LE(trailer + 16);
		return JSON.parse(file.toString("utf8", end - Number(file.readBigUInt64LE(trailer + 8)), end));
	} catch {
		return undefined;
	}
}

/** The good content that attacks start from, and folders to put them together in. */
export class Site {
	readonly dir: string;
	/** A bundle with sha256 blobs, one with sha512 blobs (their tar headers need PAX records), one of another release. */
	readonly good: TestBundle;
	readonly wide: TestBundle;
	readonly other: TestBundle;
	/** The key that the box trusts, two more that a box may be told to trust, and the attacker's own. */
	readonly signer: TestSigner;
	readonly second: TestSigner;
	readonly rsa: TestSigner;
	readonly stranger: TestSigner;
	/** What a probe of this machine finds; thousands of boxes need not start the programs that find it. */
	readonly #hardware: string;
	#case = 0;
	readonly #mounts: string[] = [];

	private constructor(
		parts: Pick<Site, "dir" | "good" | "wide" | "other" | "signer" | "second" | "rsa" | "stranger">,
		hardware: string,
	) {
		this.#hardware = hardware;
		this.dir = parts.dir;
		this.good = parts.good;
		this.wide = parts.wide;
		this.other = parts.other;
		this.signer = parts.signer;
		this.second = parts.second;
		this.rsa = parts.rsa;
		this.stranger = parts.stranger;
	}

	static async make(): Promise<Site> {
		const dir = await mkdtemp(join(tmpdir(), "slipway-attacks-"));
		// In memory: what is durable is not the question here, and thousands of cases would wait for the disk.
		await run("mount", ["-t", "tmpfs", "-o", "size=2g", "tmpfs", dir]);
		const signer = testSigner();
		const bundle = async (name: string, refs: readonly string[], algorithm?: "sha512") => {
			const at = join(dir, name);
			await mkdir(at);
			const input = { name, arch: "any" as const };
			return makeTestBundle(at, {
				seed: name,
				layers: [3000, 40],
				refs,
				input,
				signer,
				...(algorithm && { algorithm }),
			});
		};
		const parts = {
			dir,
			signer,
			good: await bundle("core", REFS),
			wide: await bundle("wide", REFS, "sha512"),
			other: await bundle("other", ["a.example/other/three:1"]),
			second: testSigner({ curve: "P-384" }),
			rsa: testSigner({ rsaBits: 3072 }),
			stranger: testSigner(),
		};
		return new Site(parts, JSON.stringify(await probe()));
	}

	/** A new, empty folder for one case. */
	async folder(): Promise<string> {
		const path = join(this.dir, `case-${++this.#case}`);
		await mkdir(path);
		return path;
	}

	/** A new file system in memory, mounted with these options, until the next sweep. */
	async mount(options: string): Promise<string> {
		const path = await this.folder();
		await run("mount", ["-t", "tmpfs", "-o", options, "tmpfs", path]);
		this.#mounts.push(path);
		return path;
	}

	/** The same folder under another path, until the next sweep. */
	async bind(folder: string): Promise<string> {
		const path = await this.folder();
		await run("mount", ["--bind", folder, path]);
		this.#mounts.push(path);
		return path;
	}

	/** Removes what cases left behind. */
	async sweep(): Promise<void> {
		for (let path = this.#mounts.pop(); path !== undefined; path = this.#mounts.pop()) await run("umount", [path]);
		for (; this.#case > 0; this.#case--)
			await rm(join(this.dir, `case-${this.#case}`), { recursive: true, force: true });
	}

	async remove(): Promise<void> {
		await this.sweep();
		// Fails as long as a file in it is open: agents close theirs a moment after they have stopped, and must.
		const unmount = () => run("umount", [this.dir]);
		await vi.waitFor(unmount, { timeout: 60_000, interval: 200 }).catch(async (cause: unknown) => {
			throw new Error(`still open: ${(await openFiles(this.dir)).join(", ") || "nothing in this process"}`, { cause });
		});
		await rm(this.dir, { recursive: true, force: true });
	}

	/** A forged bundle as an offer. */
	async forge(forgery: Forgery, from: TestBundle = this.good): Promise<{ bundle: string }> {
		return {
			bundle: await forgeBundle({ ...from, path: from.path }, { ...forgery, to: join(await this.folder(), "x.zst") }),
		};
	}

	/** A content folder with links to these bundles, in a signed release that names them. */
	async content(
		bundles: readonly string[] = [this.good.path],
		change: Partial<ContentRelease> = {},
		signer: TestSigner = this.signer,
	): Promise<string> {
		const content = await this.folder();
		for (const path of bundles) {
			for (const file of [path, signatureName(path)]) await link(file, join(content, basename(file)));
		}
		await this.release(content, { ...(await this.payload(bundles)), ...change }, signer);
		return content;
	}

	/** Writes a release into a content folder that is rightly signed, whatever it says. */
	async rawRelease(content: string, payload: object): Promise<void> {
		const bytes = Buffer.from(JSON.stringify(payload));
		const envelope = await signEnvelope(PAYLOAD_TYPE.contentRelease, bytes, this.signer);
		await writeFile(join(content, "release.dsse.json"), JSON.stringify(envelope));
	}

	/** Writes a signed release into a content folder. */
	async release(
		content: string,
		change: Partial<ContentRelease> = {},
		signer: TestSigner = this.signer,
	): Promise<void> {
		await writeFile(
			join(content, "release.dsse.json"),
			await makeRelease({ ...(await this.payload()), ...change }, signer),
		);
	}

	/** The payload of a release of these bundles. */
	async payload(bundles: readonly string[] = [this.good.path]): Promise<ContentRelease> {
		return {
			format: 1,
			critical: [],
			product: "slipway",
			version: "1.0.0",
			sequence: 1,
			bundles: await Promise.all(bundles.map((path) => this.#claims(path))),
			roots: [],
			releasedAt: "2026-01-02T03:04:05Z",
			audience: "tests",
			annotations: {},
		};
	}

	/** What a release says of a bundle; of one without an index that can be read, what it would say of the good one. */
	async #claims(path: string): Promise<ContentRelease["bundles"][number]> {
		const file = (await stat(path)).size > MAX_READ ? Buffer.alloc(0) : await readFile(path);
		const trailer = file.lastIndexOf("SLPYIDX1");
		const digest = trailer < 0 ? "" : file.toString("hex", trailer + 24, trailer + 56);
		const indexDigest = digest.length === 64 ? digest : "0".repeat(64);
		const said = schema.safeParse(payloadOf(file, trailer));
		const { name, version, arch, fips } = said.success ? said.data : this.good.index;
		return { name, version, arch, fips, indexDigest, required: true };
	}

	/** A trust store folder that says what a trust choice says. Gives its path. */
	async trustFolder({ keys, root, threshold = 1, denyKeys, denyIndexes }: TrustChoice): Promise<string> {
		const folder = await this.folder();
		const files = keys.map((_, i) => `${i}.pem`);
		for (const [i, file] of files.entries()) await writeFile(join(folder, file), keys[i]!.publicKeyPem);
		const deny = { keys: [...(denyKeys ?? [])], indexes: [...(denyIndexes ?? [])] };
		const release = { threshold, keys: files.map((file) => ({ file })) };
		if (root !== undefined) await writeFile(join(folder, "root.pem"), root.publicKeyPem);
		const roots = root === undefined ? {} : { root: { threshold: 1, keys: [{ file: "root.pem" }] } };
		await writeFile(join(folder, "trust.json"), JSON.stringify({ format: 1, release, ...roots, deny }));
		return folder;
	}

	/** The configuration of a box that is given this offer. */
	async config(offer: Offer, serve: string): Promise<object> {
		const box = await this.folder();
		const trust = await this.trustFolder(offer.trust ?? { keys: [this.signer] });
		const content = "content" in offer ? offer.content : await this.content([offer.bundle]);
		const store = ("content" in offer ? offer.store : undefined) ?? join(box, "store");
		const network = { registryPort: 0, statusPort: 0 };
		await mkdir(join(box, "run"));
		await writeFile(join(box, "run", "hardware.json"), this.#hardware);
		if ("content" in offer && offer.facts?.kernel?.rootId) await noteStart(join(box, "run"));
		return {
			content,
			trust,
			store,
			run: join(box, "run"),
			boot: join(box, "run"),
			network,
			serve,
			...("config" in offer ? offer.config : {}),
		};
	}
}
