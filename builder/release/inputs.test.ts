import { generateKeyPairSync } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { type Inputs, loadInputs } from "./inputs.ts";

const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const resolve = { inRelease: [], packages: { zstd: "1" }, boot: {}, resolvedAt: "2026-01-01T00:00:00.000Z" };
const inputs: Inputs = {
	...{ format: 1, profile: "p", base: "b", version: "1", epoch: 1, development: false, tools: {}, host: "amd64" },
	...{ resolve, workshop: { ...resolve, packages: { dracut: "106" } }, content: {}, signatures: {} },
	publicKey: String(publicKey.export({ type: "spki", format: "pem" })),
};

async function written(value: object): Promise<string> {
	const file = join(await tempDir(), "p.inputs.json");
	await writeFile(file, JSON.stringify(value));
	return file;
}

test("an inputs file is for hosts of the architecture that it was made on; an older one does not say", async () => {
	const file = await written(inputs);
	expect(await loadInputs(file, "p", "b", "amd64")).toEqual(inputs);
	await expect(loadInputs(file, "p", "b", "arm64")).rejects.toMatchObject({
		code: "E_INPUTS",
		message: expect.stringMatching(/a build on amd64, and this host is arm64\.$/),
		next: "Build on a host of amd64.",
	});
	const { host: _, ...older } = inputs;
	expect(await loadInputs(await written(older), "p", "b", "arm64")).toEqual(older);
});

test.each([
	{ inRelease: [{ suite: "noble main\ndeb [trusted=yes] http://evil/ noble", sha256: "1".repeat(64), date: 1 }] },
	{ packages: { "-oX=1": "1" } },
	{ packages: { zstd: "1 2" } },
	{ boot: { "-oDir::Bin::Methods": "1" } },
])("an inputs file that would give apt other words than packages of its suites is refused: %j", async (wrong) => {
	const file = await written({ ...inputs, content: { core: { ...resolve, ...wrong } } });
	await expect(loadInputs(file, "p", "b", "amd64")).rejects.toMatchObject({
		code: "E_INPUTS",
		message: expect.stringContaining("content.core."),
	});
});

test("an inputs file of another profile or base is refused", async () => {
	const file = await written(inputs);
	for (const [profile, base] of [
		["q", "b"],
		["p", "c"],
	] as const) {
		await expect(loadInputs(file, profile, base, "amd64")).rejects.toMatchObject({ code: "E_INPUTS" });
	}
});
