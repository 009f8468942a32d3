import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { FakeTarget } from "../../test/support/fake-target.ts";
import { folderWith } from "../../test/support/packs.ts";
import { type PushScene, pushScene } from "../../test/support/push-scene.ts";
import { parseTarget } from "./address.ts";
import { Login } from "./login.ts";
import { pushToTarget } from "./push.ts";
import { Wire } from "./wire.ts";

const PACE = { tries: 6, firstMs: 1, maxMs: 5, chunk: 2000 };
const SECRET = "canary-password";
let scene: PushScene;
let fake: FakeTarget;
let url: string;

beforeEach(async () => {
	scene = await pushScene();
	fake = new FakeTarget();
	url = await fake.start();
});
afterEach(() => fake.stop());

async function push(host = new URL(url).host, password = SECRET): Promise<void> {
	const auth = Buffer.from(`pusher:${password}`).toString("base64");
	const folder = await folderWith({ "auth.json": JSON.stringify({ auths: { [host]: { auth } } }) });
	await pushToTarget({
		config: { target: `${url}/mirror`, sparse: "refuse", credentials: join(folder, "auth.json"), ca: null },
		...{ view: scene.view, blobs: scene.blobs, folder, pace: PACE, signal: new AbortController().signal },
	});
}

/** What the request does, as scopes of tokens say it. */
function needed(request: IncomingMessage): string[] {
	const to = new URL(request.url ?? "", url);
	const name = /^\/v2\/(.+?)\/(?:blobs|manifests|referrers)\//.exec(to.pathname)?.[1];
	const reads = ["GET", "HEAD"].includes(request.method ?? "") && !to.pathname.includes("/uploads/");
	const from = to.searchParams.get("from");
	return [`repository:${name}:${reads ? "pull" : "pull,push"}`, ...(from === null ? [] : [`repository:${from}:pull`])];
}

const covers = (token: string, scope: string) =>
	token.split(" ").some((have) => have === scope || have === scope.replace(/pull$/, "pull,push"));

/** A token service at the target's own address; each token is good for `uses` requests. */
function tokens(uses: number): { given: number; realm: string } {
	const left = new Map<string, number>();
	const told = { given: 0, realm: `${url}/token` };
	fake.guard = (request) => {
		const to = new URL(request.url ?? "", url);
		if (to.pathname === "/token") {
			if (request.headers.authorization !== `Basic ${Buffer.from(`pusher:${SECRET}`).toString("base64")}`)
				return { status: 401, headers: {} };
			const token = `${++told.given}~${Buffer.from(to.searchParams.get("scope") ?? "").toString("base64url")}`;
			left.set(token, uses);
			return { status: 200, headers: {}, body: JSON.stringify({ access_token: token }) };
		}
		const token = request.headers.authorization?.replace("Bearer ", "") ?? "";
		const scopes = Buffer.from(token.split("~")[1] ?? "", "base64url").toString();
		const remaining = left.get(token) ?? 0;
		left.set(token, remaining - 1);
		if (remaining > 0 && needed(request).every((scope) => covers(scopes, scope))) return undefined;
		const challenge = `Bearer realm="${told.realm}",service="registry",scope="${needed(request).join(" ")}"`;
		return { status: 401, headers: { "www-authenticate": challenge } };
	};
	return told;
}

test.each([1000, 10])("a token for each scope, asked for anew when it runs out (after %i requests)", async (uses) => {
	const told = tokens(uses);
	await push();
	expect(fake.repository("mirror/slipway.local/multi").tags.size).toBe(1);
	// Two for a repository, one for each mount, and a few that cross each other.
	if (uses === 1000) expect(told.given).toBeLessThan(20);
});

test("a password that the token service does not take, one that is missing, and a way to log in that is not known", async () => {
	tokens(1000);
	await expect(push(undefined, "wrong-password")).rejects.toMatchObject({ code: "E_REGISTRY_AUTH" });
	await expect(push("another.host")).rejects.toMatchObject({ code: "E_REGISTRY_AUTH" });
	fake.guard = () => ({ status: 401, headers: { "www-authenticate": "Negotiate" } });
	await expect(push()).rejects.toMatchObject({ code: "E_REGISTRY_AUTH" });
	const body = `{"errors":[{"code":"DENIED","message":"${SECRET}"}]}`;
	fake.guard = ({ method }) => (method === "HEAD" ? undefined : { status: 403, headers: {}, body });
	const denied = await push().catch((error: unknown) => error);
	expect(denied).toMatchObject({ code: "E_REGISTRY_AUTH", message: expect.stringMatching(/403 DENIED/) });
	expect(String((denied as Error).message)).not.toContain(SECRET);
});

/** A host that is not the target; `seen`: the Authorization header of every request that came to it. */
async function stranger(status: number, headers: Record<string, string> = {}) {
	const other = new FakeTarget();
	const seen: (string | undefined)[] = [];
	other.guard = (request) => {
		seen.push(request.headers.authorization);
		return { status, headers };
	};
	onTestFinished(() => other.stop());
	return { origin: await other.start(), seen };
}

/** The target asks for a password, and then leads to another host whatever `leads` to that is asked. */
function leadAway(elsewhere: string, leads: (request: IncomingMessage) => boolean, status: number): void {
	fake.guard = (request) => {
		if (request.headers.authorization === undefined)
			return { status: 401, headers: { "www-authenticate": 'Basic realm="x"' } };
		return leads(request) ? { status, headers: { location: `${elsewhere}${request.url}` } } : undefined;
	};
}

test("what a redirect leads to gets no credentials", async () => {
	const { origin, seen } = await stranger(404);
	leadAway(origin, ({ method }) => method === "HEAD", 307);
	await expect(push()).rejects.toMatchObject({ code: "E_REGISTRY_UNREACHABLE" }); // no tag ever answers
	expect(seen.length).toBeGreaterThan(10);
	expect(new Set(seen)).toEqual(new Set([undefined]));
});

describe.each([
	["a redirect", (request: IncomingMessage) => request.method === "HEAD", 307],
	["an upload's address", (request: IncomingMessage) => request.method === "POST", 202],
] as const)("%s leads to a stranger, who", (_, leads, status) => {
	test.each(["a token of his own service", "a password"])(
		"asks for %s: a refusal, and nobody gets anything",
		async (wants) => {
			const thief = await stranger(200);
			const challenge = wants === "a password" ? 'Basic realm="x"' : `Bearer realm="${thief.origin}/token",service="s"`;
			const { origin, seen } = await stranger(401, { "www-authenticate": challenge });
			leadAway(origin, leads, status);
			await expect(push()).rejects.toMatchObject({
				code: "E_TARGET_REFUSED",
				message: expect.stringContaining(new URL(origin).host),
			});
			expect(seen.length).toBeGreaterThan(0);
			expect([...new Set([...seen, ...thief.seen])]).toEqual([undefined]);
		},
	);
});

test("a target with TLS that names a token service without: the service is not even asked", async () => {
	const { origin, seen } = await stranger(200);
	const wire = new Wire(undefined, new AbortController().signal);
	onTestFinished(() => wire.close());
	const login = new Login(parseTarget("https://registry.example/mirror"), { user: "pusher", password: SECRET }, wire);
	const asked = login.answer(`Bearer realm="${origin}/token",service="s"`, "mirror/one");
	await expect(asked).rejects.toMatchObject({
		code: "E_REGISTRY_AUTH",
		message: expect.stringContaining("without TLS"),
	});
	expect([login.header("mirror/one"), seen]).toEqual([{}, []]);
});
