import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { z } from "zod";
import type { SlipwayErrors } from "../../bundle/errors.ts";
import { loadYaml, readYaml } from "./load.ts";

const dir = await mkdtemp(path.join(tmpdir(), "slipway-yaml-"));
afterAll(() => rm(dir, { recursive: true }));

const schema = z.strictObject({
	version: z.string(),
	fips: z.boolean().optional(),
	bundles: z
		.array(z.union([z.string().regex(/^[a-z]+$/), z.strictObject({ name: z.string(), optional: z.boolean() })]))
		.default([]),
	kernel: z.strictObject({ arguments: z.array(z.string()) }).optional(),
	mirrors: z.record(z.string(), z.strictObject({ url: z.string() })).optional(),
});

async function errorsOf(text: string) {
	const file = path.join(dir, "p.yaml");
	await writeFile(file, text);
	const { errors } = await readYaml(file, schema, "E_PROFILE_NOT_FOUND");
	return errors.map((e) => `${e.at?.line}:${e.at?.col} ${e.code} ${e.message}`);
}

test("reports every error of a file, in order, each with its place and the nearest valid key", async () => {
	expect(
		await errorsOf(`fipps: true
bundles:
  - core
  - {name: extra, optinal: true, optional: false}
  - 7
kernel:
  argumnts: [quiet]
mirrors:
  amd64: {ur: x, url: y}
`),
	).toEqual([
		"1:1 E_PROFILE_VALUE `version` is missing.",
		"1:1 E_PROFILE_KEY Unknown key `fipps`. Did you mean `fips`?",
		"4:19 E_PROFILE_KEY Unknown key `optinal`. Did you mean `optional`?",
		"5:5 E_PROFILE_VALUE `bundles.2`: expected string or expected object, not 7.",
		"7:3 E_PROFILE_VALUE `kernel.arguments` is missing.",
		"7:3 E_PROFILE_KEY Unknown key `argumnts`. Did you mean `arguments`?",
		"9:11 E_PROFILE_KEY Unknown key `ur`. Did you mean `url`?",
	]);
});

test("names the place of what is not YAML, of a repeated key, of a second document, of an alias that is not there", async () => {
	expect(await errorsOf("version: [1\n")).toEqual([expect.stringMatching(/^2:1 E_YAML_SYNTAX /)]);
	expect(await errorsOf("version: a\nversion: b\n")).toEqual([expect.stringMatching(/^2:1 E_YAML_SYNTAX .*unique/)]);
	expect(await errorsOf("version: a\n---\nversion: b\n")).toEqual([expect.stringMatching(/^2:1 E_YAML_SYNTAX/)]);
	expect(await errorsOf("version: *nowhere\n")).toEqual([expect.stringMatching(/E_YAML_SYNTAX .*nowhere/)]);
	expect(await errorsOf("")).toEqual([expect.stringMatching(/^1:1 E_YAML_SYNTAX .*empty/)]);
	expect(await errorsOf("just text\n")).toEqual([
		expect.stringMatching(/^1:1 E_PROFILE_VALUE The file: .*expected object/),
	]);
});

test("an alias bomb is refused, an ordinary anchor is not", async () => {
	const bomb = Array.from({ length: 9 }, (_, i) => `a${i}: &a${i} [${Array(9).fill(i ? `*a${i - 1}` : "x")}]`).join(
		"\n",
	);
	expect(await errorsOf(bomb)).toEqual([expect.stringMatching(/E_YAML_SYNTAX .*alias/i)]);
	expect(await errorsOf("version: &v a\nbundles: [*v]\n")).toEqual([]);
});

test("loadYaml throws one error as itself and several together", async () => {
	await expect(loadYaml(path.join(dir, "none.yaml"), schema, "E_BASE_NOT_FOUND")).rejects.toMatchObject({
		code: "E_BASE_NOT_FOUND",
	});
	const file = path.join(dir, "two.yaml");
	await writeFile(file, "a: 1\nb: 2\nversion: x\n");
	const thrown = (await loadYaml(file, schema, "E_BASE_NOT_FOUND").catch((e: unknown) => e)) as SlipwayErrors;
	expect(thrown.errors.map((e) => e.code)).toEqual(["E_PROFILE_KEY", "E_PROFILE_KEY"]);
	expect(thrown.exitCode).toBe(2);
});
