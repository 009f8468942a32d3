import { copyFile, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { chroot } from "../tools/chroot.ts";
import { emulatorOf } from "../tools/emulator.ts";
import type { Arch } from "../tools/host-arch.ts";
import { readInitrd } from "../tools/initrd.ts";
import { ZSTD_LEVEL } from "../tools/mksquashfs.ts";
import type { Run } from "../tools/run.ts";
import { unpackOwnTar } from "../tools/tar.ts";
import { openWorkshop } from "../tools/workshop.ts";

/** An appliance's root is never on these; left out, the initrd is half as large. */
const OMIT = [
	...["lvm", "dmraid", "mdraid", "multipath", "btrfs", "crypt", "nvdimm", "nfs", "iscsi"],
	...["plymouth", "i18n", "drm", "bluetooth", "hwdb"],
];
/** Where a root of another architecture lies in the workshop. */
const TARGET = "/target";
const IMAGE = "/boot/initrd.live";
const MACHINE = { amd64: "x86_64", arm64: "aarch64" } as const;

export interface DracutOptions {
	/** Of another architecture than the host's, if it has one; null: of the same. */
	readonly foreign: Arch | null;
	readonly modules: readonly string[];
	readonly drivers: readonly string[];
	readonly epoch: number;
}

/** A root that dracut can read, and where its modules are read from: the same, or the workshop's. */
export interface DracutRoot {
	readonly root: string;
	/** Roots that a module of the project's own must be put into. */
	readonly roots: readonly string[];
	readonly image: string;
	/** Runs a program that belongs to dracut. */
	readonly run: Run;
}

/** Unpacks the root, for another architecture into the workshop. Needs root. */
export async function openDracutRoot(
	run: Run,
	foreign: Arch | null,
	inputs: { readonly bootstrap?: string; readonly workshop?: string },
	work: string,
): Promise<DracutRoot> {
	const tar = join(inputs.bootstrap!, "root.tar");
	if (foreign === null) {
		const root = join(work, "root");
		await unpackOwnTar(run, tar, root);
		const inside: Run = (file, args, options) => chroot(run, root, [file, ...args], options);
		return { root, roots: [root], image: join(root, IMAGE), run: inside };
	}
	const workshop = await openWorkshop(run, inputs.workshop!, work);
	const root = join(workshop.root, TARGET);
	await unpackOwnTar(run, tar, root);
	await copyFile(emulatorOf(foreign), join(root, "run/emulator"));
	return { root, roots: [root, workshop.root], image: join(root, IMAGE), run: workshop.run([FOREIGN_LDD]) };
}

const FOREIGN_LDD = join(import.meta.dirname, "foreign-ldd.sh");

/** Makes the initrd of a kernel. Errors: those of run(), E_TOOL_FAILED when something was left out. */
export async function dracut(at: DracutRoot, o: DracutOptions, version: string): Promise<void> {
	const faults: string[] = [];
	const onLine = (line: string) => {
		// It ends with 0 although a driver or module is missing.
		if (isDracutFault(line)) faults.push(line);
	};
	await at.run("dracut", dracutArgs(o, version), { env: dracutEnv(o), onLine });
	faults.push(...initrdFaults(await readFile(at.image), o.modules));
	if (faults.length > 0) throw new SlipwayError("E_TOOL_FAILED", `dracut left something out:\n${faults.join("\n")}`);
}

/** What the modules are asked for. */
const PROGRAMS: Readonly<Record<string, string>> = {
	"dmsquash-live": "dmsquash-live-root",
	"slipway-root": "slipway-root",
};

/**
 * What an initrd that was asked for with `modules` lacks, looked for in itself: without a module, or without the zstd program,
 * dracut says so in one line among many. Pure.
 */
export function initrdFaults(initrd: Buffer, modules: readonly string[]): string[] {
	const { packing, main } = readInitrd(initrd);
	if (packing !== "zstd") return ["it is not packed with zstd"];
	if (main === undefined) return ["its archive cannot be read"];
	const found = new Set(main.map(({ path }) => basename(path, ".sh")));
	const missing = modules.flatMap((module) => PROGRAMS[module] ?? []).filter((name) => !found.has(name));
	return missing.map((name) => `no ${name} in it`);
}

/** A line in which dracut tells of an error that its exit code does not. */
export function isDracutFault(line: string): boolean {
	return /^dracut\[[EF]\]|^dracut(-install)?: (FAILED|ERROR|FATAL)/.test(line);
}

/** dracut's command line. Pure. */
export function dracutArgs({ foreign, modules, drivers }: DracutOptions, version: string): string[] {
	const target = foreign === null ? "" : TARGET;
	return [
		...(foreign === null ? [] : ["--sysroot", target, "--kmoddir", `${target}/usr/lib/modules/${version}`]),
		// With --zstd it would be level 15: ten times as long.
		...["--force", "--no-hostonly", "--reproducible", "--compress", `zstd -${ZSTD_LEVEL} -q -T0`],
		...["--add", modules.join(" "), "--omit", OMIT.join(" "), "--add-drivers", drivers.join(" ")],
		...[`${target}${IMAGE}`, version],
	];
}

/** Without these it would start programs of the root that it looks into. Pure. */
export function dracutEnv({ foreign, epoch }: DracutOptions): Record<string, string> {
	const env = { SOURCE_DATE_EPOCH: String(epoch), TMPDIR: "/var/tmp" };
	if (foreign === null) return env;
	return {
		...env,
		DRACUT_ARCH: MACHINE[foreign],
		DRACUT_LDD: FOREIGN_LDD,
		DRACUT_INSTALL: "/usr/lib/dracut/dracut-install",
		dracutbasedir: "/usr/lib/dracut",
	};
}
