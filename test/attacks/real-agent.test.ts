import { chmod, link, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { checkSurfaces, faults } from "./answer.ts";
import { FAMILIES } from "./families/index.ts";
import type { Attack, Family, Offer, Serve } from "./family.ts";
import { RealAgent } from "./real-agent.ts";
import { SEED } from "./settings.ts";
import { Site } from "./site.ts";

/** One attack of every family against the agent as a user starts it: it stays up, says the code, and serves no name. */

const MAX_RSS = 256 * 2 ** 20;

let site: Site;
let agent: RealAgent | undefined;
beforeAll(async () => {
	console.info(`real agents: FUZZ_SEED=${SEED}`);
	site = await Site.make();
});
afterEach(async () => {
	await agent?.stop();
	agent = undefined;
	await site.sweep();
});
afterAll(() => site.remove());

/** The first attack of the family that needs nothing of this process: no callback, no clock, no other machine's facts. */
async function offerFor({ attacks, row }: Family): Promise<{ attack: Attack & { serve: Serve }; offer: Offer }> {
	for (const attack of fc.sample(attacks, { numRuns: 100, seed: SEED })) {
		const offer = await attack.make(site);
		if ("content" in offer ? !offer.facts && !offer.clock : !offer.onIndex) return { attack, offer };
	}
	throw new Error(`no attack of ${row} can be shown to a real agent`);
}

const start = async (offer: Offer, serve: Serve = "store", options = {}) =>
	RealAgent.start(await site.folder(), await site.config(offer, serve), options);

const OWN = ["A25", "A31"];
test.each(FAMILIES.filter(({ row }) => !OWN.includes(row)))("$row: $title", async (family) => {
	const { attack, offer } = await offerFor(family);
	agent = await start(offer, attack.serve);
	const status = await agent.settled();
	if (status === undefined) {
		expect(family.row, agent.output).toBe("A30"); // without a store there is nothing to stay up for
		expect(attack.codes, agent.output).toContain(/^(\w+): .*\n {2}Next: /m.exec(agent.output)?.[1]);
		return;
	}
	const found = faults(status);
	if (attack.codes.length === 0) expect([status.stage, ...found], attack.what).toEqual(["ready"]);
	else expect(attack.codes, `${attack.what}: ${found}`).toContain(found[0]);
	const store = JSON.parse(await readFile(agent.config, "utf8")).store;
	await checkSurfaces(store, status, attack.codes.length === 0 || "authentic" in offer);
	expect(agent.exitCode).toBe(null);
	expect(await agent.peak(), attack.what).toBeLessThan(MAX_RSS);
	expect(agent.output, attack.what).not.toMatch(/[^\x20-\x7e\n]|^\s+at /m);
});

/** Makes a process believe that it is some other time, which then goes on. */
const clock = (now: string) => {
	const script = `const R = Date, by = R.parse("${now}") - R.now();
		globalThis.Date = class extends R {
			constructor(...a) { a.length > 0 ? super(...a) : super(R.now() + by); }
			static now() { return R.now() + by; }
		};`;
	return { env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` } };
};

test.each(["1970-01-01T00:00:00Z", "2099-12-31T23:59:50Z"])("A25: at %s it loads as ever", async (now) => {
	agent = await start({ content: await site.content() }, "store", clock(now));
	const status = await agent.settled();
	expect(status).toMatchObject({ stage: "ready", release: { sequence: 1 } });
	expect(status!.since.slice(0, 3)).toBe(now.slice(0, 3)); // it did believe it
});

test("A30: files of the medium that cannot be read", async () => {
	// Root without the right to read what nobody may read.
	const drop = "-dac_override,-dac_read_search";
	const through = ["setpriv", `--bounding-set=${drop}`, `--inh-caps=${drop}`];
	for (const file of ["core-1.0.0-any.zst", "core-1.0.0-any.sig.bin", "release.dsse.json"]) {
		const content = await site.content();
		await chmod(join(content, file), 0);
		agent = await start({ content }, "store", { through });
		const status = await agent.settled();
		await chmod(join(content, file), 0o644);
		expect([file, status?.stage, ...faults(status!)]).toEqual([file, "failed", "E_IO"]);
		await agent.stop();
	}
});

test("A29: 20,000 files beside the content, and as many that call themselves bundles", async () => {
	const content = await site.content();
	const fill = async (end: string) => {
		for (let i = 0; i < 20_000; i++) await link(site.good.path, join(content, `${i}${end}`));
	};
	await fill(".txt");
	agent = await start({ content });
	expect((await agent.settled())?.stage).toBe("ready");
	expect(await agent.peak()).toBeLessThan(MAX_RSS);
	await agent.stop();
	await fill(".zst");
	agent = await start({ content });
	const status = (await agent.settled())!;
	expect([status.stage, ...faults(status)]).toEqual(["failed", "E_LIMIT"]);
	expect(await agent.peak()).toBeLessThan(MAX_RSS);
});

test("A28: a file's name that a terminal or a browser would obey is shown, and obeyed by neither", async () => {
	const content = await site.content();
	const name = "\u001b[2J\u009b31m\u202e<script>alert(1)<|script>&\n.zst";
	await link(site.good.path, join(content, name));
	const console = join(await site.folder(), "console");
	await writeFile(console, "");
	agent = await start({ content, config: { consoles: [console] } });
	const { urls, ...status } = (await agent.settled())!;
	expect(faults(status)).toEqual(["E_UNSIGNED"]);
	const page = await (await fetch(urls.status!)).text();
	expect(page).toContain("&lt;script&gt;alert(1)");
	expect(page).not.toContain("<script");
	await agent.stop(); // a console is written a moment later
	for (const text of [agent.output, await readFile(console, "utf8")]) {
		expect(text).toContain("<script>alert(1)");
		expect(text).not.toMatch(/[^\x20-\x7e\r\n]/);
	}
});

test("A31: a second agent on the store ends with its code, and the first goes on", async () => {
	const content = await site.content();
	const store = join(await site.folder(), "store");
	agent = await start({ content, store });
	expect((await agent.settled())?.stage).toBe("ready");
	const second = await start({ content, store });
	expect(await second.ended()).toBe(5);
	expect(second.output).toMatch(/^E_BUSY: .*\n {2}Next: /);
	await checkSurfaces(store, (await agent.settled())!, true);
});

test("A20: nothing can be written to the registry, whoever asks for what", async () => {
	const store = join(await site.folder(), "store");
	agent = await start({ content: await site.content(), store });
	const { urls } = (await agent.settled())!;
	const digest = site.good.names[0]!.digest;
	const before = await listing(store);
	const name = fc.constantFrom("a.example/core/one", "a.example/core/new", "x");
	const path = fc
		.constantFrom(
			"manifests/1",
			`manifests/${digest}`,
			`blobs/${digest}`,
			"blobs/uploads/",
			"blobs/uploads/1",
			"tags/list",
		)
		.chain((rest) => name.map((n) => `${n}/${rest}`));
	const verb = fc.constantFrom("PUT", "POST", "PATCH", "DELETE");
	const query = fc.constantFrom("", `?digest=${digest}`, `?mount=${digest}&from=a.example/core/two`);
	await fc.assert(
		fc.asyncProperty(verb, path, query, fc.string({ maxLength: 100 }), async (method, path, query, body) => {
			const answer = await fetch(new URL(path + query, urls.registry!), { method, body });
			expect(answer.status).toBe(405);
			expect(((await answer.json()) as { errors: { code: string }[] }).errors[0]!.code).toBe("UNSUPPORTED");
		}),
		{ numRuns: 100, seed: SEED },
	);
	expect(await listing(store)).toEqual(before);
	await checkSurfaces(store, (await agent.settled())!, true);
});

/** Every file of the store, as it is on disk. */
async function listing(store: string): Promise<string[]> {
	const files = (await readdir(store, { recursive: true, withFileTypes: true })).filter((f) => f.isFile());
	const lines = files.map(async ({ parentPath, name }) => {
		const { ino, ctimeNs } = await stat(join(parentPath, name), { bigint: true });
		return `${join(parentPath, name)} ${ino} ${ctimeNs}`;
	});
	return (await Promise.all(lines)).sort();
}
