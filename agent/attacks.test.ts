import { appendFile, copyFile, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { signatureName } from "../bundle/signature-file.ts";
import { applianceKernel, noteStart } from "../test/support/appliance-boot.ts";
import { type TestSigner, testSigner, writeSignature } from "../test/support/bundles.ts";
import { makeContent, type TestContent } from "../test/support/content.ts";
import { tempDir } from "../test/support/temp.ts";
import { type Agent, type Facts, startAgent } from "./agent.ts";

/** Content that must not be loaded: each kind has its code in the status, and no name is visible to anybody. */

const REF = "slipway.local/core/nginx:1.27";
const HOST: Facts = { kernel: { rootId: null, checkMedium: false } };
const FIPS_HOST: Facts = {
	...HOST,
	fips: {
		kernelFlag: async () => "1",
		processMaps: async () => "/x/fips.so\n",
		nodeFips: () => 1,
		hash: (algorithm) => {
			if (algorithm === "md5") throw new Error("unsupported");
			return "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
		},
	},
};
const FIPS_BOX = {
	fips: true,
	fipsModule: { provider: "p", version: "1", stream: "distribution", certificate: null },
};

let agent: Agent | undefined;
afterEach(async () => {
	await agent?.stop();
	agent = undefined;
});

const newContent = async (signer?: TestSigner) =>
	makeContent(await tempDir(), [{ refs: [REF], layers: [2_500_000, 900], input: { name: "core" } }], signer);

/** Starts an agent on the content and expects refusal: the codes, no name by any way of asking, nothing committed. */
async function refused(
	content: TestContent,
	codes: readonly string[],
	extra: object = {},
	facts = HOST,
): Promise<void> {
	agent = await startAgent(content.config(extra), facts);
	await agent.settled;
	const { urls } = agent.state.status;
	const status = (await (await fetch(new URL("v1/status", urls.status!))).json()) as Agent["state"]["status"];
	const found = status.conditions.filter((c) => !c.ok);
	expect([status.stage, found.map((c) => c.code)]).toEqual(["failed", codes]);
	for (const { cause, next } of found) {
		expect(cause.length).toBeGreaterThan(10);
		expect(next.length).toBeGreaterThan(10);
	}
	expect((await fetch(new URL("livez", urls.status!))).status).toBe(200);
	expect((await fetch(new URL("readyz", urls.status!))).status).toBe(503);
	const digest = content.bundles[0]!.names[0]!.digest;
	for (const path of [
		"_catalog",
		"slipway.local/core/nginx/tags/list",
		"slipway.local/core/nginx/manifests/1.27",
		`slipway.local/core/nginx/blobs/${digest}`,
	]) {
		const response = await fetch(new URL(path, urls.registry!));
		expect([path, response.status]).toEqual([path, 503]);
		expect(await response.text()).not.toContain("nginx");
	}
	await expect(readFile(join(content.dir, "store", "store", "catalog.json"))).rejects.toMatchObject({ code: "ENOENT" });
	await agent.stop();
}

const bundleOf = (content: TestContent) => content.bundles[0]!.path;

test("an unsigned bundle", async () => {
	const content = await newContent();
	await rm(signatureName(bundleOf(content)));
	await refused(content, ["E_UNSIGNED"]);
});

test("a wrong whole-file signature by a trusted key", async () => {
	const content = await newContent();
	await writeSignature(content.signer, Buffer.from("something else"), signatureName(bundleOf(content)));
	await refused(content, ["E_SIG_INVALID"]);
	expect(agent!.state.status.bundles.map((b) => b.state)).toEqual(["bad"]);
});

test("a whole-file signature by an unknown key", async () => {
	const content = await newContent();
	await writeSignature(testSigner(), await readFile(bundleOf(content)), signatureName(bundleOf(content)));
	await refused(content, ["E_SIG_INVALID"]);
});

test("everything signed by an unknown key", async () => {
	const content = await newContent();
	await refused(content, ["E_KEY_UNKNOWN"], { trust: join((await newContent()).dir, "trust.pem") });
});

test("a bundle of an unknown key, in a release of a trusted one", async () => {
	const content = await newContent(testSigner());
	const trusted = testSigner();
	await writeFile(join(content.dir, "trust.pem"), trusted.publicKeyPem);
	await content.writeRelease({}, trusted);
	await refused(content, ["E_KEY_UNKNOWN"]);
});

test("a bundle that is not in the release, though rightly signed", async () => {
	const content = await newContent();
	const extra = await makeContent(
		await tempDir(),
		[{ refs: ["evil.local/a/b:1"], input: { name: "extra" } }],
		content.signer,
	);
	for (const path of [bundleOf(extra), signatureName(bundleOf(extra))]) {
		await copyFile(path, join(content.content, path.split("/").at(-1)!));
	}
	await refused(content, ["E_RELEASE_SET"]);
});

test("a required bundle that is missing, and no content at all", async () => {
	const content = await newContent();
	const absent = { ...content.release.bundles[0]!, name: "other", indexDigest: "a".repeat(64) };
	await content.writeRelease({ bundles: [...content.release.bundles, absent] });
	await refused(content, ["E_RELEASE_SET"]);
	await rm(join(content.content, "release.dsse.json"));
	await refused(content, ["E_MEDIA"]);
});

test("a changed release, and a release for another root image", async () => {
	const content = await newContent();
	const file = join(content.content, "release.dsse.json");
	const document = JSON.parse(await readFile(file, "utf8"));
	const payload = Buffer.from(document.payload, "base64").toString().replace('"required":true', '"required":null');
	await writeFile(file, JSON.stringify({ ...document, payload: Buffer.from(payload).toString("base64") }));
	await refused(content, ["E_SIG_INVALID"]);
	await content.writeRelease({ roots: ["c".repeat(64)] });
	await noteStart(join(content.dir, "boot"));
	await refused(content, ["E_RELEASE_ROOT"], {}, { kernel: applianceKernel("d".repeat(64)) });
});

test("a bundle without FIPS on a FIPS box, and a bundle for another architecture", async () => {
	await refused(await newContent(), ["E_FIPS_MIX"], FIPS_BOX, FIPS_HOST);
	const foreign = process.arch === "arm64" ? "amd64" : "arm64";
	const elsewhere = await makeContent(await tempDir(), [{ refs: [REF], input: { name: "core", arch: foreign } }]);
	await refused(elsewhere, ["E_TARGET"]);
});

test("a committed set without FIPS on a box that became a FIPS box", async () => {
	const content = await newContent();
	agent = await startAgent(content.config(), HOST);
	await agent.settled;
	expect(agent.state.status.stage).toBe("ready");
	await agent.stop();
	await rm(content.content, { recursive: true });
	agent = await startAgent(content.config(FIPS_BOX), FIPS_HOST);
	await agent.settled;
	const { stage, conditions, urls } = agent.state.status;
	expect([stage, conditions.filter((c) => !c.ok).map((c) => c.code)]).toEqual(["failed", ["E_FIPS_MIX", "E_MEDIA"]]);
	for (const path of ["_catalog", "slipway.local/core/nginx/manifests/1.27"]) {
		expect((await fetch(new URL(path, urls.registry!))).status).toBe(503);
	}
});

test("a release that says other things about a bundle than the bundle's own index", async () => {
	const content = await newContent();
	const [claims] = content.release.bundles;
	await content.writeRelease({ bundles: [{ ...claims!, name: "other", version: "9.9.9", arch: "amd64", fips: true }] });
	await refused(content, Array(4).fill("E_RELEASE_SET"));
});

test("a FIPS box whose FIPS mode is not proved", async () => {
	await refused(await newContent(), ["E_FIPS_INACTIVE"], FIPS_BOX);
});

test("too little memory, and everything else that is missing beside it", async () => {
	await refused(await newContent(), ["E_REQUIREMENTS"], { requirements: { memoryMiB: 50_000_000 } });
	await refused(await newContent(), Array(3).fill("E_REQUIREMENTS"), {
		requirements: { memoryMiB: 50_000_000, cores: 5000, cpuFlags: ["none-such"] },
	});
});

test("a truncated bundle, wherever it ends, and one with bytes behind its end", async () => {
	const content = await newContent();
	const path = bundleOf(content);
	const whole = await readFile(path);
	for (const size of [0, 1, 1000, whole.length >> 1, whole.length - 1]) {
		await truncate(path, size);
		await refused(content, ["E_TRUNCATED"]);
		await writeFile(path, whole);
	}
	await appendFile(path, "x");
	await refused(content, ["E_TRAILING"]);
});

describe("one flipped bit", () => {
	let content: TestContent;
	let whole: Buffer;
	beforeAll(async () => {
		content = await newContent();
		whole = await readFile(bundleOf(content));
	});

	/** Positions in each region of the file: data frames (header, blocks, last byte), payload, envelope, trailer, seek table. */
	const regions = (): Record<string, number> => {
		const { index } = content.bundles[0]!;
		const end = index.dataLength;
		const seekTable = whole.length - (17 + 8 * (index.frames.length + 1));
		return {
			"first byte": 0,
			"first frame's header": 4,
			"first frame's data": 40,
			"middle of the data": end >> 1,
			"last data byte": end - 1,
			"index frame's magic": end,
			"index frame's size": end + 5,
			"payload's first byte": end + 8,
			"payload's middle": end + 8 + 700,
			envelope: seekTable - 64 - 20,
			"trailer's magic": seekTable - 64,
			"trailer's digest": seekTable - 30,
			"trailer's padding": seekTable - 1,
			"seek table's magic": seekTable,
			"seek table's entry": seekTable + 9,
			"seek table's count": whole.length - 9,
			"seek table's descriptor": whole.length - 5,
			"last byte": whole.length - 1,
		};
	};
	const CODES = /^E_(FRAME|INDEX|SIG_INVALID|SEEK_TABLE|TRUNCATED|TRAILING|LIMIT|JSON_STRICT|KEY_UNKNOWN)$/;

	test("anywhere in the bundle is refused", async () => {
		for (const [region, at] of Object.entries(regions())) {
			const bytes = Buffer.from(whole);
			bytes[at]! ^= 1;
			await writeFile(bundleOf(content), bytes);
			agent = await startAgent(content.config(), HOST);
			await agent.settled;
			const codes = agent.state.status.conditions.filter((c) => !c.ok).map((c) => c.code);
			await agent.stop();
			expect([region, agent.state.status.stage, CODES.test(codes[0] ?? "none")]).toEqual([region, "failed", true]);
			await refused(content, codes as string[]);
		}
		await writeFile(bundleOf(content), whole);
	});

	test("in the signature file is refused", async () => {
		const file = signatureName(bundleOf(content));
		const signature = await readFile(file);
		for (const at of [0, 1, 4, 20, signature.length - 1]) {
			const bytes = Buffer.from(signature);
			bytes[at]! ^= 1;
			await writeFile(file, bytes);
			await refused(content, ["E_SIG_INVALID"]);
		}
		await writeFile(file, signature);
	});

	test("and without any of them the same content loads", async () => {
		agent = await startAgent(content.config(), HOST);
		await agent.settled;
		expect(agent.state.status.stage).toBe("ready");
	});
});
