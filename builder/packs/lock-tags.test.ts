import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { sha256Hex } from "../../bundle/digest.ts";
import type { Run } from "../tools/run.ts";
import type { BundleDefinition } from "./definition.ts";
import { lockTags } from "./lock-tags.ts";

test("tags are locked before anything is planned, each once; digests need no lock", async () => {
	const dir = await mkdtemp(join(tmpdir(), "slipway-lock-"));
	onTestFinished(() => rm(dir, { recursive: true, force: true }));
	const images = ["registry.test/a:1", `registry.test/b@sha256:${"ab".repeat(32)}`];
	const packs = images.map((image, i) => ({ name: `p${i}`, source: "registry", image }));
	const definition = { file: join(dir, "b.yaml"), packs } as unknown as BundleDefinition;
	const manifest = JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json" });
	const asked: string[] = [];
	const run: Run = async (_file, args, options) => {
		asked.push(args.at(-1)!);
		await writeFile(options!.stdoutFile!, manifest);
		return { stdout: "", stderr: "", exitCode: 0 };
	};
	const request = { cacheDir: join(dir, ".cache"), env: {}, signal: new AbortController().signal };
	await lockTags(definition, request, run);
	const lock = await readFile(join(dir, "b.lock.yaml"), "utf8");
	expect(lock).toContain(`registry.test/a:1: sha256:${sha256Hex(manifest)}`);
	expect(lock).not.toContain("registry.test/b");
	await lockTags(definition, request, run);
	expect(asked).toEqual(["docker://registry.test/a:1"]);
	await writeFile(join(dir, "b.lock.yaml"), lock.replace(/^ +registry.*$/m, " {}"));
	await lockTags(definition, request, run);
	expect(asked).toHaveLength(2);
	expect(await readFile(join(dir, "b.lock.yaml"), "utf8")).toBe(lock);
});
