import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { makeIsoRelease } from "../../bundle/release.ts";
import { trustOf } from "../../test/support/bundles.ts";
import { makeContent } from "../../test/support/content.ts";
import { tempDir } from "../../test/support/temp.ts";
import { readContentRelease, readMediumRelease } from "./release.ts";

const ROOT = "e".repeat(64);
const CONTENT = "a".repeat(64);
const code = (expected: string) => expect.objectContaining({ code: expected });

async function makeMedium() {
	const content = await makeContent(await tempDir());
	const trust = trustOf(content.signer);
	const file = join(content.dir, ".disk/iso-release.dsse.json");
	await mkdir(join(content.dir, ".disk"));
	const iso = {
		...{ format: 1 as const, critical: [], product: "slipway", version: "1.0.0", arch: "any" as const, fips: false },
		...{ buildId: "f".repeat(64), rootId: ROOT, files: [], contentRelease: CONTENT, annotations: {} },
	};
	const write = async (change: object = {}) =>
		writeFile(file, await makeIsoRelease({ ...iso, ...change }, content.signer));
	await write();
	return { content, trust, file, write, read: () => readMediumRelease(content.content, trust, ROOT, CONTENT) };
}

test("an appliance's medium without a readable ISO release is refused", async () => {
	const { file, read } = await makeMedium();
	expect((await read())?.rootId).toBe(ROOT);
	await rm(file);
	await expect(read()).rejects.toEqual(code("E_RELEASE"));
	await mkdir(file);
	await expect(read()).rejects.toEqual(code("E_IO"));
});

test("the ISO release names the content that lies on the medium, and not that of a stick in its place", async () => {
	const { content, file, write, read } = await makeMedium();
	await write({ contentRelease: "b".repeat(64) });
	await expect(read()).rejects.toEqual(code("E_RELEASE_SET"));
	const stick = await mkdtemp("/dev/shm/slipway-stick-");
	onTestFinished(() => rm(stick, { recursive: true }));
	await rm(content.content, { recursive: true });
	await symlink(stick, content.content);
	expect((await read())?.rootId).toBe(ROOT);
	await write({ contentRelease: "b".repeat(64), rootId: "f".repeat(64) });
	await expect(read()).rejects.toEqual(code("E_RELEASE_ROOT"));
	await rm(file);
	expect(await read()).toBeUndefined();
});

test.each(["content", "ISO"])(
	"the %s release is not read through a link or a pipe, nor beyond its limit",
	async (kind) => {
		const { content, trust, file: isoFile, read: readIso } = await makeMedium();
		const file = kind === "ISO" ? isoFile : join(content.content, "release.dsse.json");
		const read = kind === "ISO" ? readIso : () => readContentRelease(content.content, trust);
		await read();
		await rename(file, `${file}.real`);
		await symlink(`${file}.real`, file);
		await expect(read()).rejects.toEqual(code("E_IO"));
		await rm(file);
		execFileSync("mkfifo", [file]);
		await expect(read()).rejects.toEqual(code("E_IO"));
		await rm(file);
		await writeFile(file, await readFile(`${file}.real`));
		await truncate(file, 2 ** 40);
		await expect(read()).rejects.toEqual(code("E_LIMIT"));
	},
);
