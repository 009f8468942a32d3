import { copyFile, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { SlipwayError } from "../../bundle/errors.ts";
import type { Stage } from "../plan/stage.ts";
import { emulatorFor } from "../tools/emulator.ts";
import { fatImage } from "../tools/fat.ts";
import { eltoritoImage } from "../tools/grub.ts";
import type { Run } from "../tools/run.ts";
import { unpackOwnTar } from "../tools/tar.ts";
import { codeOf } from "./code.ts";
import { earlyConfig, espConfig, grubConfig, menu, menuOf } from "./grub-config.ts";
import { kernelLine } from "./kernel-line.ts";
import { type RootImage, readRootImage } from "./root.ts";

const options = z.strictObject({
	menu,
	shim: z.string(),
	grub: z.string(),
	/** Name that firmware looks for, and the one that shim then looks for. */
	efi: z.tuple([z.string(), z.string()]),
	bios: z.boolean(),
	line: z.array(z.string()),
	/** What the profile demands of the machine, if the root image is to fit into its memory. */
	memoryMiB: z.int().nullable(),
	epoch: z.int(),
});
type Options = z.infer<typeof options>;

const EFI_NAMES = { amd64: ["BOOTX64.EFI", "grubx64.efi"], arm64: ["BOOTAA64.EFI", "grubaa64.efi"] } as const;
/** Known when the stage runs; the plan has noughts in its place. */
const UNKNOWN: RootImage = {
	rootId: "0".repeat(64),
	verity: { blocks: 0, hash: "0".repeat(64), salt: "0".repeat(64) },
};

/** GRUB for BIOS (made of the base's modules) and for UEFI (the base's signed shim and GRUB), with one menu. */
export const boot: Stage<Options> = {
	name: "boot",
	summary: "Make the boot images (GRUB, BIOS and UEFI)",
	options,
	inputs: ["bootstrap", "root"],
	plan: (build) => ({
		menu: menuOf(build),
		shim: build.base.secureBoot[build.profile.arch].shim,
		grub: build.base.secureBoot[build.profile.arch].grub,
		efi: [...EFI_NAMES[build.profile.arch]],
		bios: build.profile.arch === "amd64",
		line: kernelLine(build.profile, UNKNOWN),
		memoryMiB: build.profile.root === "ram" ? build.profile.requirements.memoryMiB : null,
		epoch: build.archiveEpoch,
	}),
	sources: () => codeOf(import.meta.filename),
	space: () => 800_000_000,
	async run({ build, options: o, inputs, out, work, run }) {
		const image = await readRootImage(inputs.root!);
		const { rootId } = image;
		if (o.memoryMiB !== null) checkMemory(o.memoryMiB, (await stat(join(inputs.root!, "rootfs.squashfs"))).size);
		const packages = join(work, "packages");
		await unpackPackages(run, join(inputs.bootstrap!, "boot"), packages);
		const tree = join(out, "tree");
		await put(join(tree, "boot/grub/grub.cfg"), grubConfig(o.menu, kernelLine(build.profile, image), rootId));
		await mkdir(join(tree, "EFI/BOOT"), { recursive: true });
		await copyFile(join(packages, o.shim), join(tree, "EFI/BOOT", o.efi[0]));
		await copyFile(join(packages, o.grub), join(tree, "EFI/BOOT", o.efi[1]));
		await makeEsp(run, o, tree, rootId, work, join(out, "esp.img"));
		if (o.bios) {
			const root = join(work, "root");
			await unpackOwnTar(run, join(inputs.bootstrap!, "root.tar"), root);
			await makeBios(run, root, packages, rootId, out);
		}
	},
};

/** Beside a root image in memory the system and the agent need their own. Errors: E_PROFILE_VALUE. */
export function checkMemory(memoryMiB: number, imageBytes: number): void {
	const least = Math.ceil(imageBytes / 2 ** 20) + 1024;
	if (memoryMiB >= least) return;
	const message = `requirements.memoryMiB is ${memoryMiB}; with \`root: ram\` and this root image it is at least ${least}.`;
	throw new SlipwayError("E_PROFILE_VALUE", message, { next: "Raise it in the profile, or use `root: live`." });
}

async function unpackPackages(run: Run, folder: string, into: string): Promise<void> {
	await mkdir(into, { recursive: true });
	for (const deb of (await readdir(folder)).sort()) await run("dpkg-deb", ["-x", join(folder, deb), into]);
}

/** The EFI system partition: shim, GRUB, and a configuration that finds the medium by the root image it holds. */
async function makeEsp(run: Run, o: Options, tree: string, rootId: string, work: string, image: string): Promise<void> {
	const config = join(work, "esp.cfg");
	await put(config, espConfig(rootId));
	const files = new Map([
		["/boot/grub/grub.cfg", config],
		...o.efi.map((name) => [`/EFI/BOOT/${name}`, join(tree, "EFI/BOOT", name)] as const),
	]);
	let bytes = 0;
	for (const file of files.values()) bytes += (await stat(file)).size;
	const size = Math.ceil((bytes + 512 * 1024) / 2 ** 22) * 2 ** 22;
	await fatImage(run, image, files, { size, label: "ESP", serial: rootId.slice(0, 8), epoch: o.epoch });
}

/** The El Torito image and the MBR code that starts it from a stick. */
async function makeBios(run: Run, root: string, packages: string, rootId: string, out: string): Promise<void> {
	const scratch = join(root, "grub");
	const modules = join(packages, "usr/lib/grub/i386-pc");
	await mkdir(join(scratch, "i386-pc"), { recursive: true });
	for (const name of await readdir(modules)) await copyFile(join(modules, name), join(scratch, "i386-pc", name));
	await copyFile(join(packages, "usr/bin/grub-mkimage"), join(root, "usr/bin/grub-mkimage"));
	await put(join(scratch, "early.cfg"), earlyConfig(rootId));
	await eltoritoImage(run, root, "/grub/i386-pc", "/grub/early.cfg", "/grub/eltorito.img", await emulatorFor("amd64"));
	const target = join(out, "tree/boot/grub/i386-pc/eltorito.img");
	await mkdir(dirname(target), { recursive: true });
	await copyFile(join(scratch, "eltorito.img"), target);
	await copyFile(join(modules, "boot_hybrid.img"), join(out, "boot_hybrid.img"));
}

async function put(file: string, text: string): Promise<void> {
	await mkdir(dirname(file), { recursive: true });
	await writeFile(file, text);
}
