import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { SlipwayErrors } from "../../bundle/errors.ts";
import { tempDir } from "../../test/support/temp.ts";
import { readConfig } from "./read.ts";

async function read(text: string) {
	const file = join(await tempDir(), "agent.yaml");
	await writeFile(file, text);
	return readConfig(file);
}

const faults = async (text: string) => {
	const error = (await read(text).catch((e: unknown) => e)) as SlipwayErrors;
	return error.errors.map((e) => `${e.at?.line}:${e.at?.col} ${e.code} ${e.message}`);
};

test("YAML and JSON give the same configuration, with defaults filled in", async () => {
	const yaml = await read("content: /c\ntrust: /t.pem\n");
	expect(await read('{"content": "/c", "trust": "/t.pem"}')).toEqual(yaml);
	expect(yaml.network).toEqual({ expose: "loopback", registryPort: 5000, statusPort: 8080, names: [] });
});

test("every fault is told at once, each with its place and the nearest valid key", async () => {
	expect(await faults("content: 1\ntrust: /t.pem\nnetwork:\n  expose: wan\n  registryprt: 1\nstoer: /s\n")).toEqual([
		expect.stringMatching(/^1:10 E_CONFIG content: /),
		expect.stringMatching(/^4:11 E_CONFIG network\.expose: /),
		expect.stringMatching(/^5:3 E_CONFIG network\.registryprt is not a key.*registryPort\?$/),
		expect.stringMatching(/^6:1 E_CONFIG stoer is not a key.*store\?$/),
	]);
});

test("bad syntax, a key given twice and a missing key are E_CONFIG with a place", async () => {
	expect(await faults("content: [\n")).toEqual([expect.stringMatching(/^\d+:\d+ E_CONFIG /)]);
	expect(await faults("content: a\ncontent: b\ntrust: c\n")).toEqual([expect.stringMatching(/^2:1 E_CONFIG /)]);
	expect(await faults("content: a\n")).toEqual([expect.stringMatching(/^1:1 E_CONFIG trust: /)]);
	await expect(readConfig("/nonexistent.yaml")).rejects.toMatchObject({ code: "E_CONFIG" });
});
