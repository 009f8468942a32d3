import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pack } from "tar-stream";
import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { run } from "../tools/run.ts";
import { unpackImage } from "./image-root.ts";

test("an image whose paths lead out of its root is refused, and nothing is written there", async () => {
	const dir = await tempDir();
	const folder = join(dir, "evil");
	const victim = join(dir, "victim");
	const layer = await tarOf([
		{ name: "usr/link", linkname: dir, type: "symlink" },
		{ name: "usr/link/victim", type: "file" },
		{ name: "../victim", type: "file" },
	]);
	await run("mkdir", [folder]);
	await writeFile(join(folder, "aa".repeat(32)), layer);
	const config = {
		mediaType: "application/vnd.oci.image.config.v1+json",
		digest: `sha256:${"bb".repeat(32)}`,
		size: 2,
	};
	const layers = [
		{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: `sha256:${"aa".repeat(32)}`, size: layer.length },
	];
	const manifest = { schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config, layers };
	await writeFile(join(folder, "manifest.json"), JSON.stringify(manifest));
	await expect(unpackImage(folder, join(dir, "evil-work"), join(dir, "evil-root"))).rejects.toMatchObject({
		code: "E_PACK",
	});
	await expect(readFile(victim)).rejects.toMatchObject({ code: "ENOENT" });
});

async function tarOf(entries: { name: string; type: "file" | "symlink"; linkname?: string }[]): Promise<Buffer> {
	const tar = pack();
	for (const entry of entries) tar.entry(entry, entry.type === "file" ? "x" : "");
	tar.finalize();
	const chunks: Buffer[] = [];
	for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk);
	return Buffer.concat(chunks);
}
