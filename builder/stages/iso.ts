import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { makeIsoRelease } from "../../bundle/release.ts";
import type { Stage } from "../plan/stage.ts";
import { recordingSigner } from "../signing/record.ts";
import { writeIso } from "../tools/xorriso.ts";
import { readContentRecord } from "./content.ts";
import { checkContent, checkStructure, type GatedFile } from "./iso-gate.ts";
import { rootMark, volumeId } from "./kernel-line.ts";

const options = z.strictObject({
	product: z.string(),
	version: z.string(),
	base: z.string(),
	arch: z.enum(["amd64", "arm64"]),
	fips: z.boolean(),
	/** Signs the ISO release. */
	keyId: z.string(),
	epoch: z.int(),
});
type Options = z.infer<typeof options>;

/** Output of the stage, beside `image.iso`. */
export const isoRecord = z.strictObject({
	sha256: z.string(),
	size: z.int(),
	buildId: z.string(),
	rootId: z.string(),
	signatures: z.record(z.string(), z.string()),
});

/** The hybrid ISO, checked by reading it back. */
export const iso: Stage<Options> = {
	name: "iso",
	summary: "Write the ISO (xorriso) and read it back",
	options,
	inputs: ["initrd", "root", "content", "boot"],
	plan: ({ profile, version, signer, epoch }) => ({
		product: profile.product,
		version,
		base: profile.base,
		arch: profile.arch,
		fips: profile.fips,
		keyId: signer.keyId,
		epoch,
	}),
	sources: () =>
		["iso.ts", "iso-gate.ts", "kernel-line.ts", "../tools/xorriso.ts"].map((file) => join(import.meta.dirname, file)),
	space: () => 1_000_000_000,
	async run({ build, options: o, inputs, out, work, run, progress }) {
		const rootId = (JSON.parse(await readFile(join(inputs.root!, "root.json"), "utf8")) as { rootId: string }).rootId;
		const content = await readContentRecord(inputs.content!);
		const { signer, signatures } = recordingSigner(build.signer);
		const sources: [string, string][] = [
			["live/rootfs.squashfs", join(inputs.root!, "rootfs.squashfs")],
			["boot/vmlinuz", join(inputs.initrd!, "vmlinuz")],
			["boot/initrd", join(inputs.initrd!, "initrd")],
			...(await filesOf(join(inputs.boot!, "tree"))),
		];
		const bootFiles = await Promise.all(sources.filter(([path]) => path !== ELTORITO).map(digestOf));
		const buildId = idOf([o, rootId, content.release, bootFiles]);
		const release = await makeIsoRelease(
			{
				format: 1,
				critical: [],
				product: o.product,
				version: o.version,
				arch: o.arch,
				fips: o.fips,
				buildId,
				rootId,
				files: bootFiles,
				contentRelease: content.release,
				annotations: {},
			},
			signer,
		);
		const disk = await makeDisk(join(work, "disk"), {
			"iso-release.dsse.json": release,
			info: `${o.product} ${o.version} ${o.base} ${o.arch}\n`,
			"slipway-build-id": `${buildId}\n`,
			[rootMark(rootId).replace("/.disk/", "")]: `${rootId}\n`,
		});
		const image = join(out, "image.iso");
		const bios = o.arch === "amd64";
		await writeIso(
			run,
			{
				out: image,
				volumeId: volumeId(rootId),
				epoch: o.epoch,
				files: [
					...sources,
					...disk,
					...content.files.map(
						(file) => [`content/${file.path}`, join(inputs.content!, "content", file.path)] as const,
					),
				].map(([path, source]) => [`/${path}`, source] as const),
				esp: join(inputs.boot!, "esp.img"),
				bios: bios ? { mbr: join(inputs.boot!, "boot_hybrid.img"), eltorito: `/${ELTORITO}` } : null,
			},
			(percent) => progress(percent, 200),
		);
		await checkStructure(run, image, volumeId(rootId), bios);
		const files = [
			...bootFiles,
			...(await Promise.all(disk.map(digestOf))),
			...content.files.map((file) => ({ ...file, path: `content/${file.path}` })),
		];
		const whole = await checkContent(run, image, files, (done, total) => progress(100 + (100 * done) / total, 200));
		await writeFile(join(out, "iso.json"), `${JSON.stringify({ ...whole, buildId, rootId, signatures })}\n`);
	},
};

/** xorriso writes a table of addresses into this one, so its bytes are not those of the source. */
const ELTORITO = "boot/grub/i386-pc/eltorito.img";

async function filesOf(folder: string): Promise<[string, string][]> {
	const entries = await readdir(folder, { withFileTypes: true, recursive: true });
	const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
	return files.sort().map((file) => [relative(folder, file), file]);
}

async function digestOf([path, file]: readonly [string, string]): Promise<GatedFile> {
	const hash = createHash("sha256");
	await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
	return { path, size: (await stat(file)).size, sha256: hash.digest("hex") };
}

async function makeDisk(folder: string, files: Record<string, string | Buffer>): Promise<[string, string][]> {
	await mkdir(folder);
	for (const [name, data] of Object.entries(files)) await writeFile(join(folder, name), data);
	return Object.keys(files).map((name) => [`.disk/${name}`, join(folder, name)]);
}

function idOf(parts: unknown): string {
	return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}
