import { X509Certificate } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { SlipwayError } from "../../bundle/errors.ts";
import type { Stage, StageContext } from "../plan/stage.ts";
import { emulatorFor } from "../tools/emulator.ts";
import { fatImage } from "../tools/fat.ts";
import { eltoritoImage } from "../tools/grub.ts";
import type { Run } from "../tools/run.ts";
import { unpackOwnTar } from "../tools/tar.ts";
import { startsByBios, UKI_CERTIFICATE } from "../uki/boots.ts";
import { makeUki } from "../uki/make.ts";
import { isSigned } from "../uki/pe.ts";
import { codeOf } from "./code.ts";
import { earlyConfig, espConfig, grubConfig, menu, menuOf, startWords } from "./grub-config.ts";
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
	/** A unified kernel image in place of shim and GRUB, with the certificate (PEM) that signs it. */
	uki: z.strictObject({ stub: z.string(), certificate: z.string() }).nullable(),
	epoch: z.int(),
});
type Options = z.infer<typeof options>;

const EFI_NAMES = { amd64: ["BOOTX64.EFI", "grubx64.efi"], arm64: ["BOOTAA64.EFI", "grubaa64.efi"] } as const;
/** Of a root in which one program is run that needs libraries, and nothing else. */
const NO_LIBRARIES = ["boot", "var", "usr/sbin", "usr/share", "usr/libexec"].concat(
	["dracut", "firmware", "modules", "systemd", "udev"].map((name) => `usr/lib/${name}`),
);
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
	inputs: ["bootstrap", "initrd", "root"],
	secrets: ["ukiKey"],
	plan: (build) => ({
		menu: menuOf(build),
		shim: build.base.secureBoot[build.profile.arch].shim,
		grub: build.base.secureBoot[build.profile.arch].grub,
		efi: [...EFI_NAMES[build.profile.arch]],
		bios: startsByBios(build.profile),
		line: kernelLine(build.profile, UNKNOWN),
		memoryMiB: build.profile.root === "ram" ? build.profile.requirements.memoryMiB : null,
		uki: build.uki && { stub: build.base.uki![build.profile.arch].stub, certificate: build.uki.certificate },
		epoch: build.archiveEpoch,
	}),
	sources: () => codeOf(import.meta.filename),
	space: () => 800_000_000,
	async run(context) {
		const { build, options: o, inputs, out, work, run } = context;
		const image = await readRootImage(inputs.root!);
		const { rootId } = image;
		if (o.memoryMiB !== null) checkMemory(o.memoryMiB, (await stat(join(inputs.root!, "rootfs.squashfs"))).size);
		const packages = join(work, "packages");
		await unpackPackages(run, join(inputs.bootstrap!, "boot"), packages);
		const tree = join(out, "tree");
		if (o.uki !== null) return await makeUkiBoot(context, packages, image);
		checkSigned(await readFile(join(inputs.initrd!, "vmlinuz")));
		await put(join(tree, "boot/grub/grub.cfg"), grubConfig(o.menu, kernelLine(build.profile, image), rootId));
		await mkdir(join(tree, "EFI/BOOT"), { recursive: true });
		await copyFile(join(packages, o.shim), join(tree, "EFI/BOOT", o.efi[0]));
		await copyFile(join(packages, o.grub), join(tree, "EFI/BOOT", o.efi[1]));
		// GRUB's configuration there finds the medium by the root image it holds.
		const config = join(work, "esp.cfg");
		await put(config, espConfig(rootId));
		const programs = o.efi.map((name) => [`/EFI/BOOT/${name}`, join(tree, "EFI/BOOT", name)] as const);
		const espFiles = new Map([["/boot/grub/grub.cfg", config], ...programs]);
		await makeEsp(run, espFiles, { rootId, epoch: o.epoch }, join(out, "esp.img"));
		if (o.bios) {
			const root = join(work, "root");
			await unpackOwnTar(run, join(inputs.bootstrap!, "root.tar"), root, NO_LIBRARIES);
			await makeBios(run, root, packages, rootId, out);
		}
	},
};

/** Shim lets GRUB start no other kernel under Secure Boot. Errors: E_KERNEL_UNSIGNED. */
function checkSigned(kernel: Buffer): void {
	if (isSigned(kernel)) return;
	throw new SlipwayError(
		"E_KERNEL_UNSIGNED",
		"The kernel carries no signature, so it would not start with Secure Boot on.",
	);
}

/** One signed program in the EFI system partition; its certificate lies beside it, for the menus of firmware that enrol keys. */
async function makeUkiBoot(
	{ build, options: o, inputs, out, work, run, secret }: StageContext<Options>,
	packages: string,
	image: RootImage,
): Promise<void> {
	const key = await secret("ukiKey");
	if (o.uki === null || key === undefined) throw new SlipwayError("E_KEY_MISSING", "UKI_KEY= is not set.");
	const certificate = join(work, "certificate.pem");
	await put(certificate, o.uki.certificate);
	const program = join(work, "uki.efi");
	const parts = {
		...{ stub: join(packages, o.uki.stub), product: build.profile.product, version: build.version },
		...{ kernel: join(inputs.initrd!, "vmlinuz"), initrd: join(inputs.initrd!, "initrd") },
		line: [...kernelLine(build.profile, image), ...startWords(o.menu)],
	};
	await makeUki(run, parts, { key: key.file, certificate, epoch: o.epoch }, work, program);
	const cer = join(out, "tree", UKI_CERTIFICATE);
	await mkdir(dirname(cer), { recursive: true });
	await writeFile(cer, new X509Certificate(o.uki.certificate).raw);
	const files = new Map([
		[`/EFI/BOOT/${o.efi[0]}`, program],
		[`/${UKI_CERTIFICATE}`, cer],
	]);
	await makeEsp(run, files, { rootId: image.rootId, epoch: o.epoch }, join(out, "esp.img"));
}

/** Beside a root image in memory the system and the agent need their own. Errors: E_PROFILE_VALUE. */
export function checkMemory(memoryMiB: number, imageBytes: number): void {
	const least = Math.ceil(imageBytes / 2 ** 20) + 1024;
	if (memoryMiB >= least) return;
	const message = `requirements.memoryMiB is ${memoryMiB}; with \`root: ram\` and this root image it is at least ${least}.`;
	throw new SlipwayError("E_PROFILE_VALUE", message, { next: "Raise it in the profile, or use `root: live`." });
}

async function unpackPackages(run: Run, folder: string, into: string): Promise<void> {
	await mkdir(into, { recursive: true });
	const debs = (await readdir(folder)).sort();
	// All of them have ended when this does, however they end: what they write to is deleted next.
	const ends = await Promise.allSettled(debs.map((deb) => run("dpkg-deb", ["-x", join(folder, deb), into])));
	for (const end of ends) if (end.status === "rejected") throw end.reason;
}

/** The EFI system partition. Its files are firmware's to find, and its serial number the root image's. */
async function makeEsp(
	run: Run,
	files: ReadonlyMap<string, string>,
	{ rootId, epoch }: { rootId: string; epoch: number },
	image: string,
): Promise<void> {
	let bytes = 0;
	for (const file of files.values()) bytes += (await stat(file)).size;
	const size = Math.ceil((bytes + 512 * 1024) / 2 ** 22) * 2 ** 22;
	await fatImage(run, image, files, { size, label: "ESP", serial: rootId.slice(0, 8), epoch });
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
