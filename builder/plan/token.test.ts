import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { askToken, checkToken } from "./token.ts";

const TOKEN = "C1canaryCANARYcanary0123456789";
const { signal } = new AbortController();
type Pro = Parameters<typeof checkToken>[0];
const proOf = (contracts: string | null, proPackages = ["linux-image-fips"]) =>
	({ profile: { name: "p" }, base: { title: "B", fips: { contracts } }, proPackages }) as unknown as Pro;

async function tokenFile(text: string): Promise<{ PRO_TOKEN_FILE: string }> {
	const dir = await mkdtemp(join(tmpdir(), "slipway-token-"));
	onTestFinished(() => rm(dir, { recursive: true }));
	await writeFile(join(dir, "token"), text);
	return { PRO_TOKEN_FILE: join(dir, "token") };
}

/** A service that knows one token, and gives everybody else `otherwise`. */
async function service(otherwise: number): Promise<{ url: string; asked: string[] }> {
	const asked: string[] = [];
	const server = createServer((request, response) => {
		asked.push(`${request.method} ${request.url}`);
		const known = request.headers.authorization === `Bearer ${TOKEN}`;
		response.writeHead(known ? 200 : otherwise, { location: "http://127.0.0.1:1/elsewhere" }).end("{}");
	});
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	onTestFinished(() => void server.close());
	return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

test("a token that the service knows is good; one question is asked, and none where no token is needed", async () => {
	const env = await tokenFile(`${TOKEN}\n`);
	const { url, asked } = await service(401);
	expect(await askToken(proOf(url), env, signal)).toBeUndefined();
	expect(asked).toEqual(["GET /v1/contract"]);
	expect(await askToken(proOf(url, []), env, signal)).toBeUndefined();
	expect(await askToken(proOf(null), env, signal)).toBeUndefined();
	expect(asked).toHaveLength(1);
});

test.each([401, 403])(
	"a token that the service refuses with %i is an error, which does not repeat it",
	async (status) => {
		const env = await tokenFile("C1wrongCANARYwrong0123456789");
		const { url } = await service(status);
		const error: unknown = await askToken(proOf(url), env, signal).catch((thrown: unknown) => thrown);
		expect(error).toMatchObject({ code: "E_PRO_TOKEN", exitCode: 4, next: expect.stringContaining("PRO_TOKEN_FILE") });
		expect(inspect(error)).not.toContain("CANARY");
	},
);

test.each([500, 302])(
	"an answer of %i says nothing about the token: the build goes on, and the user is told",
	async (status) => {
		const env = await tokenFile("C1otherCANARYother0123456789");
		const { url } = await service(status);
		expect(await askToken(proOf(url), env, signal)).toMatch(/could not be asked whether the token is good \(.+\)/);
		expect(await askToken(proOf("http://127.0.0.1:1"), env, signal)).toMatch(/could not be asked .*\(.+\)/);
	},
);

test.each([
	["", "is empty"],
	["two words\n", "holds more than one word"],
	["line\nline\n", "holds more than one word"],
])("a file with %j holds no token", async (text, why) => {
	const env = await tokenFile(text);
	await expect(checkToken(proOf(null), env)).rejects.toMatchObject({
		code: "E_PRO_TOKEN",
		message: expect.stringMatching(new RegExp(`takes linux-image-fips from Ubuntu Pro, and .* ${why}\\.`)),
	});
	await checkToken(proOf(null, []), env);
});
