import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeAll, expect, test } from "vitest";
import type { Status } from "../../agent/status/state.ts";
import { run } from "../../builder/tools/run.ts";
import { AgentProcess } from "../support/agent-process.ts";
import { type TestSigner, testSigner } from "../support/bundles.ts";
import { makeContent, type TestContent } from "../support/content.ts";
import { projectRoot } from "../support/packs.ts";
import { tempDir } from "../support/temp.ts";

/** One box through rotation, rollback and denial: statements from the command line, the real agent, one store. */

const [root1, root2, vendor, next] = [
	testSigner(),
	testSigner({ curve: "P-384" }),
	testSigner(),
	testSigner(),
] as const;
let dir: string;
let home: TestContent;
let agent: AgentProcess | undefined;
afterEach(() => agent?.end());

beforeAll(async () => {
	dir = await tempDir();
	home = await makeContent(join(dir, "home"));
	await mkdir(join(dir, "trust"));
	const keys = { vendor, root1, root2 };
	for (const [name, signer] of Object.entries(keys))
		await writeFile(join(dir, "trust", `${name}.pem`), signer.publicKeyPem);
	for (const [name, signer] of Object.entries({ root1, root2 }))
		await writeFile(join(dir, `${name}.key`), signer.privateKey.export({ type: "pkcs8", format: "pem" }));
	await writeFile(join(dir, "next.pem"), next.publicKeyPem);
	const role = (threshold: number, ...names: string[]) => ({
		threshold,
		keys: names.map((n) => ({ file: `${n}.pem` })),
	});
	const trust = { format: 1, release: role(1, "vendor"), root: role(2, "root1", "root2") };
	await writeFile(join(dir, "trust/trust.json"), JSON.stringify(trust));
});

const ROOTS = ["--key", "root1.key", "--key", "root2.key"];
const slipway = (...args: string[]) => run(join(projectRoot, "slipway"), args, { cwd: dir });
const medium = async (tag: string, by: TestSigner) =>
	makeContent(await tempDir(), [{ refs: [`slipway.local/app:${tag}`], input: { name: "app" } }], by);

/** Starts the agent with that medium: the stage it settles in, what is wrong, and the tags that it serves. */
async function boot(content: string): Promise<[stage: string, codes: (string | null)[], tags: string[]]> {
	await agent?.end();
	agent = await AgentProcess.prepare(home, { content, trust: join(dir, "trust"), store: join(dir, "store") });
	agent.start();
	for (;;) {
		const answer = await fetch(`http://127.0.0.1:${agent.statusPort}/v1/status`).catch(() => undefined);
		const status = (await answer?.json()) as Status | undefined;
		if (status !== undefined && ["ready", "degraded", "failed"].includes(status.stage)) {
			const tags = await fetch(`http://127.0.0.1:${agent.registry}/v2/slipway.local/app/tags/list`);
			const list = tags.ok ? ((await tags.json()) as { tags: string[] }).tags : [];
			return [status.stage, status.conditions.filter((c) => !c.ok).map((c) => c.code), list];
		}
		await setTimeout(50);
	}
}

test("rotate, refuse the old key, roll back as planned, deny", async () => {
	const first = await medium("1", vendor);
	const second = await medium("2", next);
	expect(await boot(first.content)).toEqual(["ready", [], ["1"]]);
	expect(await boot(second.content)).toEqual(["degraded", ["E_KEY_UNKNOWN"], ["1"]]);

	// One root key is not enough; the second one signs the same file.
	const carry = (content: string) => cp(join(dir, "statements"), join(content, "statements"), { recursive: true });
	await slipway("statement", "make", "rotate", "--release-key", "next.pem", "--key", "root1.key");
	await carry(second.content);
	expect(await boot(second.content)).toEqual(["degraded", ["E_STATEMENT"], ["1"]]);
	await slipway("sign", "statements/1.dsse.json", "--key", "root2.key");
	await carry(second.content);
	expect(await boot(second.content)).toEqual(["ready", [], ["2"]]);

	// The old key's content counts no more, on a medium that says nothing about it either.
	expect(await boot(first.content)).toEqual(["degraded", ["E_KEY_UNKNOWN"], ["2"]]);

	// The old release, signed with the new key: only with a statement that plans it.
	const older = await medium("1", next);
	const third = await medium("3", next);
	expect(await boot(third.content)).toEqual(["ready", [], ["3"]]);
	expect(await boot(older.content)).toEqual(["degraded", ["E_ROLLBACK", "E_ROLLBACK"], ["3"]]);
	const file = (content: TestContent) => join(content.content, "release.dsse.json");
	await slipway("statement", "make", "rollback", "--from", file(third), "--to", file(older), ...ROOTS);
	await carry(older.content);
	expect(await boot(older.content)).toEqual(["ready", [], ["1"]]);
	expect(await boot(second.content)).toEqual(["degraded", ["E_ROLLBACK", "E_ROLLBACK"], ["1"]]);

	// What is denied is served no more, whatever it was; what replaces it is newer.
	await slipway("statement", "make", "deny", "--release", file(older), "--reason", "leaks", ...ROOTS);
	await carry(older.content);
	expect(await boot(older.content)).toEqual(["failed", ["E_DENIED", "E_DENIED"], []]);
	await rm(join(older.content, "statements"), { recursive: true });
	expect(await boot(older.content)).toEqual(["failed", ["E_DENIED", "E_DENIED"], []]);
	expect(await boot(third.content)).toEqual(["ready", [], ["3"]]);
	const listed = await slipway("statement", "list", "statements", "--trust", "trust");
	expect(listed.stdout).toMatch(/1 {2}[0-9a-f]{64} {2}rotate release\n2 .* rollback .*\n3 .* deny .*: leaks\n/);
});
