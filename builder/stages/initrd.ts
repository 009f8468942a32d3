import { chmod, copyFile, mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { SlipwayError } from "../../bundle/errors.ts";
import { kernelOf } from "../archive/packages.ts";
import type { Stage } from "../plan/stage.ts";
import { codeOf } from "./code.ts";
import { dracut, openDracutRoot } from "./dracut.ts";

const options = z.strictObject({
	/** The architecture, if it is not the build host's own. */
	foreign: z.enum(["amd64", "arm64"]).nullable(),
	modules: z.array(z.string()),
	drivers: z.array(z.string()),
	epoch: z.int(),
});

/** What a CD, a stick or virtual media may hang on, and what the live root is made of. */
const DRIVERS = [
	...["ahci", "nvme", "sd_mod", "sr_mod", "usb-storage", "uas", "xhci_pci", "ehci_pci"],
	...["virtio_blk", "virtio_pci", "virtio_scsi", "virtio_net"],
	...["isofs", "squashfs", "overlay", "loop"],
];
/** Kernels of other architectures have no such drivers, and dracut fails for a driver that is not there. */
const PC_DRIVERS = ["ata_piix", "uhci_hcd"];
/** Kernel and initrd (dracut, dmsquash-live) of the root. */
export const initrd: Stage<z.infer<typeof options>> = {
	name: "initrd",
	summary: "Make the initrd (dracut)",
	options,
	inputs: ["workshop", "bootstrap"],
	plan: ({ base, profile, hostArch, archiveEpoch }) => ({
		foreign: profile.arch === hostArch ? null : profile.arch,
		modules: ["dmsquash-live", "slipway-root", ...(profile.fips ? (base.fips?.dracutModules ?? []) : [])],
		drivers: [...DRIVERS, ...(profile.arch === "amd64" ? PC_DRIVERS : [])].filter(
			(driver) => !kernelOf(base, profile).lacks.includes(driver),
		),
		epoch: archiveEpoch,
	}),
	sources: () => [...codeOf(import.meta.filename), MODULE],
	space: () => 1_000_000_000,
	async run({ options: o, inputs, out, work, run }) {
		const at = await openDracutRoot(run, o.foreign, inputs, work);
		for (const root of at.roots) await addModule(root, o.epoch);
		const version = await kernelVersion(at.root);
		await dracut(at, o, version);
		await copyFile(at.image, join(out, "initrd"));
		await copyFile(join(at.root, `boot/vmlinuz-${version}`), join(out, "vmlinuz"));
		await writeFile(join(out, "kernel.json"), `${JSON.stringify({ version })}\n`);
	},
};

/** The project's own dracut module: opens the root image through dm-verity. */
const MODULE = join(import.meta.dirname, "dracut/91slipway-root");

/** Rights and times do not depend on the checkout, since they end up in the initrd. */
async function addModule(root: string, epoch: number): Promise<void> {
	const folder = join(root, "usr/lib/dracut/modules.d", basename(MODULE));
	await mkdir(folder);
	for (const name of await readdir(MODULE)) {
		await copyFile(join(MODULE, name), join(folder, name));
		await chmod(join(folder, name), 0o755);
		await utimes(join(folder, name), epoch, epoch);
	}
}

async function kernelVersion(root: string): Promise<string> {
	const versions = await readdir(join(root, "usr/lib/modules"));
	if (versions.length === 1) return versions[0]!;
	throw new SlipwayError(
		"E_STAGE",
		`The root must hold one kernel, it holds ${versions.length}: ${versions.join(", ")}.`,
	);
}
