import { symlink } from "node:fs/promises";
import { expect, test } from "vitest";
import { SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { definitionYaml, folderWith, projectRoot } from "../../test/support/packs.ts";
import { definitionSources, loadBundleDefinition } from "./definition.ts";

async function errorsOf(packs: string): Promise<string[]> {
	const folder = await folderWith({ "test.yaml": definitionYaml(packs) });
	const error = await loadBundleDefinition(projectRoot, `${folder}/test.yaml`).catch((thrown: unknown) => thrown);
	const all = error instanceof SlipwayErrors ? error.errors : [error as SlipwayError];
	expect(all.every((one) => one instanceof SlipwayError)).toBe(true);
	return all.map((one) => `${one.at?.line}:${one.at?.col} ${one.code} ${one.message}`);
}

test("core is valid, and names the local files that it is made from", async () => {
	const core = await loadBundleDefinition(projectRoot, "core");
	const sources = definitionSources(core).map((file) => file.slice(projectRoot.length));
	expect(sources).toContain("/profiles/bundles/core/nginx.conf");
	expect(sources).toContain("/profiles/bundles/charts/web");
	expect(sources).toContain("/profiles/bundles/core.lock.yaml");
});

test("a bundle that is not there: the nearest name", async () => {
	await expect(loadBundleDefinition(projectRoot, "cor")).rejects.toMatchObject({
		code: "E_BUNDLE_NOT_FOUND",
		message: expect.stringContaining("`core`"),
	});
});

test("every mistake of the schema is reported, each with its place", async () => {
	const errors = await errorsOf(
		[
			"- { name: a, source: packages, packages: [nginx], entrypoint: [/x], user: { name: root, uid: 0, gid: 0 } }",
			"- { name: b, source: files, path: ., artifacttype: x/y }",
			"- { name: c, source: registry, image: nginx }",
			"- { name: d, source: registry, image: example.com/a/b:1, fips: true }",
		].join("\n"),
	);
	expect(errors).toHaveLength(5);
	expect(errors[0]).toMatch(/^7:\d+ E_PROFILE_VALUE .*uid/);
	expect(errors.find((e) => e.startsWith("8:"))).toMatch(/E_PROFILE_KEY .*artifactType/);
	expect(errors.find((e) => e.startsWith("9:"))).toMatch(/E_PROFILE_VALUE/);
	expect(errors.find((e) => e.startsWith("10:"))).toMatch(/E_PROFILE_VALUE .*fips/);
});

test("a link is no local input: what it leads to could change without the ids showing it", async () => {
	const file = "files: { /etc/x: { from: link.conf } }";
	const pack = `- { name: web, source: packages, packages: [nginx], entrypoint: [/x], ${file} }`;
	const folder = await folderWith({ "test.yaml": definitionYaml(pack), "real.conf": "x" });
	await symlink("real.conf", `${folder}/link.conf`);
	const error = await loadBundleDefinition(projectRoot, `${folder}/test.yaml`).catch((thrown: unknown) => thrown);
	expect(error).toMatchObject({ code: "E_PACK", message: expect.stringContaining("link.conf is a link") });
	expect(error).toMatchObject({ at: { line: 7 } });
});

test("what a schema cannot see: names twice, files and images that are not there", async () => {
	const errors = await errorsOf(
		[
			"- { name: a, source: files, path: missing }",
			"- { name: a, source: files, path: . }",
			"- { name: web, source: packages, packages: [nginx], entrypoint: [/x] }",
			"- { name: chart, source: chart, path: ., images: { image: wep } }",
		].join("\n"),
	);
	expect(errors).toEqual([
		expect.stringMatching(/^7:\d+ E_PACK There is no .*missing/),
		expect.stringMatching(/^8:\d+ E_NAME_CONFLICT .*two packs named a/),
		expect.stringMatching(/^10:\d+ E_PROFILE_VALUE .*`wep`.*`web`/),
	]);
});

test.each(["/etc/../shadow", "etc/x", "/etc//x", "/"])("%s is no path to put a file at", async (name) => {
	const [error] = await errorsOf(
		`- { name: a, source: packages, packages: [nginx], entrypoint: [/x], files: { ${JSON.stringify(name)}: { text: x } } }`,
	);
	expect(error).toMatch(/E_PROFILE_VALUE/);
});
