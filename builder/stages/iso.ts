import { createHash } from "node:crypto";
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { z } from "zod";
import { sha256Hex } from "../../bundle/digest.ts";
import type { IsoRelease } from "../../bundle/index-schema.ts";
import { makeIsoRelease } from "../../bundle/release.ts";
import type { Stage, StageContext } from "../plan/stage.ts";
import { recordingSigner } from "../signing/record.ts";
import { chunksOf } from "../tools/chunks.ts";
import { writeIso } from "../tools/xorriso.ts";
import { startsByBios } from "../uki/boots.ts";
import { codeOf } from "./code.ts";
import { readContentRecord } from "./content-record.ts";
import { localContentBytes } from "./content-size.ts";
import { checkContent, checkStructure, type GatedFile } from "./iso-gate.ts";
import { rootMark, volumeId } from "./kernel-line.ts";
import { readRootImage } from "./root.ts";

const options = z.strictObject({
	product: z.string(),
	version: z.string(),
	base: z.string(),
	arch: z.enum(["amd64", "arm64"]),
	fips: z.boolean(),
	boot: z.enum(["grub", "uki"]),
	/** dracut's FIPS module compares the kernel on the medium, under this name, with the HMAC in the root. */
	checkedKernel: z.string().nullable(),
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
	plan: ({ profile, base, version, signer, epoch }) => ({
		product: profile.product,
		version,
		base: profile.base,
		arch: profile.arch,
		fips: profile.fips,
		boot: profile.boot,
		checkedKernel: profile.fips && base.fips?.dracutModules.includes("fips") ? "vmlinuz0" : null,
		keyId: signer.keyId,
		epoch,
	}),
	sources: () => codeOf(import.meta.filename),
	space: (build) => 1_000_000_000 + localContentBytes(build),
	async run({ build, options: o, inputs, out, work, run, progress }) {
		const { rootId } = await readRootImage(inputs.root!);
		const content = await readContentRecord(inputs.content!);
		const { signer, signatures } = recordingSigner(build.signer);
		const system = await systemFiles(o, inputs);
		// Of what the medium holds besides content, all that does not change while the ISO is written.
		const fixed = await Promise.all(system.filter(([path]) => path !== ELTORITO).map(digestOf));
		const buildId = sha256Hex(JSON.stringify([o, rootId, content.release, fixed]));
		const release = await makeIsoRelease(
			releaseOf(o, { buildId, rootId, files: fixed, contentRelease: content.release }),
			signer,
		);
		const disk = await makeDisk(join(work, "disk"), {
			"iso-release.dsse.json": release,
			info: `${o.product} ${o.version} ${o.base} ${o.arch}\n`,
			"slipway-build-id": `${buildId}\n`,
			[basename(rootMark(rootId))]: `${rootId}\n`,
		});
		const bundles = content.files.map((file) => ({ ...file, path: `content/${file.path}` }));
		const sources = [...system, ...disk, ...bundles.map(({ path }) => [path, join(inputs.content!, path)] as const)];
		const image = join(out, "image.iso");
		const bios = startsByBios(o);
		const plan = {
			out: image,
			volumeId: volumeId(rootId),
			epoch: o.epoch,
			files: sources.map(([path, source]) => [`/${path}`, source] as const),
			esp: join(inputs.boot!, "esp.img"),
			bios: bios ? { mbr: join(inputs.boot!, "boot_hybrid.img"), eltorito: `/${ELTORITO}` } : null,
		};
		await writeIso(run, plan, (percent) => progress(percent, 200));
		await checkStructure(run, image, volumeId(rootId), bios);
		const gated = [...fixed, ...(await Promise.all(disk.map(digestOf))), ...bundles];
		const whole = await checkContent(run, image, gated, (done, total) => progress(100 + (100 * done) / total, 200));
		await writeFile(join(out, "iso.json"), `${JSON.stringify({ ...whole, buildId, rootId, signatures })}\n`);
	},
};

/** Path on the ISO and source of everything but content and `.disk`. */
async function systemFiles(
	o: Options,
	inputs: StageContext<Options>["inputs"],
): Promise<(readonly [string, string])[]> {
	const kernel = join(inputs.initrd!, "vmlinuz");
	return [
		["live/rootfs.squashfs", join(inputs.root!, "rootfs.squashfs")],
		["boot/vmlinuz", kernel],
		// With `boot: uki` the initrd is in the signed program, where nobody changes it.
		...(o.boot === "uki" ? [] : [["boot/initrd", join(inputs.initrd!, "initrd")] as const]),
		...(o.checkedKernel === null ? [] : [[o.checkedKernel, kernel] as const]),
		...(await filesOf(join(inputs.boot!, "tree"))),
	];
}

function releaseOf(
	{ product, version, arch, fips }: Options,
	ids: Pick<IsoRelease, "buildId" | "rootId" | "files" | "contentRelease">,
): IsoRelease {
	return { format: 1, critical: [], product, version, arch, fips, ...ids, annotations: {} };
}

/** xorriso writes a table of addresses into this one, so its bytes are not those of the source. */
const ELTORITO = "boot/grub/i386-pc/eltorito.img";

async function filesOf(folder: string): Promise<[string, string][]> {
	const entries = await readdir(folder, { withFileTypes: true, recursive: true });
	const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
	return files.sort().map((file) => [relative(folder, file), file]);
}

async function digestOf([path, file]: readonly [string, string]): Promise<GatedFile> {
	const hash = createHash("sha256");
	for await (const chunk of chunksOf(file)) hash.update(chunk);
	return { path, size: (await stat(file)).size, sha256: hash.digest("hex") };
}

async function makeDisk(folder: string, files: Record<string, string | Buffer>): Promise<[string, string][]> {
	await mkdir(folder);
	for (const [name, data] of Object.entries(files)) await writeFile(join(folder, name), data);
	return Object.keys(files).map((name) => [`.disk/${name}`, join(folder, name)]);
}
