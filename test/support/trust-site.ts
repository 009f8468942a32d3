import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { State, type Status, slipwayErrors } from "../../agent/status/state.ts";
import { closeCandidates } from "../../agent/trust/candidates.ts";
import { readContentSet } from "../../agent/trust/checks.ts";
import { TrustLedger } from "../../agent/trust/ledger.ts";
import { signEnvelope } from "../../bundle/dsse.ts";
import { PAYLOAD_TYPE } from "../../bundle/index-schema.ts";
import { signatureName } from "../../bundle/signature-file.ts";
import { loadTrust } from "../../bundle/trust.ts";
import { type TestBundleOptions, type TestSigner, testSigner } from "./bundles.ts";
import { makeContent, type TestContent } from "./content.ts";
import { TestChain } from "./statements.ts";
import { tempDir } from "./temp.ts";

/** For the tests of the ten attacks of The Update Framework (specification 1.0, section 1.5.2) on checks 1 to 9 of checks.ts. */

export const [root, vendor, second, stranger] = [testSigner(), testSigner(), testSigner(), testSigner()] as const;
export const REF = "slipway.local/core/app:1";
const KERNEL = { rootId: null, checkMedium: false };

/** A box with a root key, and the medium in front of it. */
export class Site {
	readonly dir: string;
	readonly chain = new TestChain(root);
	/** Digest of the release that is committed. */
	committed: string | undefined;
	medium!: TestContent;
	extra: object = {};

	constructor(dir: string) {
		this.dir = dir;
	}

	async trust(threshold: number, ...signers: TestSigner[]): Promise<void> {
		await mkdir(join(this.dir, "trust"), { recursive: true });
		const entry = (role: string, list: readonly TestSigner[]) => list.map((_, i) => ({ file: `${role}${i}.pem` }));
		for (const [i, { publicKeyPem }] of signers.entries()) await writeFile(this.#key(`release${i}`), publicKeyPem);
		await writeFile(this.#key("root0"), root.publicKeyPem);
		const release = { threshold, keys: entry("release", signers) };
		const json = { format: 1, release, root: { threshold: 1, keys: entry("root", [root]) } };
		await writeFile(join(this.dir, "trust/trust.json"), JSON.stringify(json));
	}

	#key(name: string): string {
		return join(this.dir, "trust", `${name}.pem`);
	}

	/** Makes a medium with a later release than those before. */
	async insert(bundles: readonly TestBundleOptions[] = [{ refs: [REF], input: { name: "core" } }], by = vendor) {
		this.medium = await makeContent(await tempDir(), bundles, by);
		return this.medium;
	}

	async ledger(): Promise<TrustLedger> {
		return TrustLedger.open(join(this.dir, "state"), await loadTrust(join(this.dir, "trust")));
	}

	/** Codes that the medium is answered with; without any it counts as loaded and committed. */
	async load(): Promise<string[]> {
		try {
			const ledger = await this.ledger();
			const state = new State({ bundles: [] } as unknown as Status);
			const config = this.medium.config(this.extra);
			const set = await readContentSet(config, KERNEL, ledger, state, this.committed);
			await closeCandidates(set.candidates);
			await ledger.raise(set.release, set.candidates);
			this.committed = set.release.digest;
			return [];
		} catch (error) {
			return slipwayErrors(error).map((e) => e.code);
		}
	}

	/** Puts the chain on the medium. */
	say(): Promise<void> {
		return this.chain.write(this.medium.content);
	}

	get releaseFile(): string {
		return join(this.medium.content, "release.dsse.json");
	}

	/** Changes the release's envelope. */
	async bend(
		change: (envelope: { payload: string; payloadType: string; signatures: object[] }) => void,
	): Promise<void> {
		const envelope = JSON.parse(await readFile(this.releaseFile, "utf8"));
		change(envelope);
		await writeFile(this.releaseFile, JSON.stringify(envelope));
	}

	async signRelease(change: object, ...by: TestSigner[]): Promise<void> {
		const payload = Buffer.from(JSON.stringify({ ...this.medium.release, ...change }));
		const all = await Promise.all(by.map((signer) => signEnvelope(PAYLOAD_TYPE.contentRelease, payload, signer)));
		const envelope = { ...all[0]!, signatures: all.flatMap((e) => e.signatures) };
		await writeFile(this.releaseFile, JSON.stringify(envelope));
	}
}

let site: Site;
beforeEach(async () => {
	site = new Site(await tempDir());
	await site.trust(1, vendor);
});

type Attack = [what: string, codes: string[], mount: (site: Site) => Promise<unknown>];

async function answers(codes: string[], mount: Attack[2]): Promise<void> {
	await mount(site);
	expect(await site.load()).toEqual(codes);
}
/** A test for each row: how the medium is made, and the codes it is answered with; none: it is taken. */
export const attacks = (name: string, rows: Attack[]) =>
	test.each(rows)(`${name}: %s %j`, (_, codes, mount) => answers(codes, mount));

/** What is done once a good medium is there. */
export const inserted = (then: Attack[2]): Attack[2] => {
	return async (s) => {
		await s.insert();
		await then(s);
	};
};

/** A second good medium; its bundle and signature are copied into the first. */
export async function smuggle(s: Site, name = "core"): Promise<TestContent> {
	const first = s.medium;
	const other = await s.insert([{ refs: [`slipway.local/${name}/app:2`], input: { name } }]);
	s.medium = first;
	const { path } = other.bundles[0]!;
	for (const file of [path, signatureName(path)]) await copyFile(file, join(first.content, `x-${basename(file)}`));
	return other;
}
