import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Measured, measure } from "./measure.ts";

/**
 * The distribution's own live-build, asked for what `minimal-amd64` asks for: the packages, the suite, the kernel, BIOS and UEFI by GRUB,
 * the compression. Beside them it gets only what it needs to start at all (`live-boot`), none of its defaults, no security archive
 * and no cache of its own stages. Documentation and translations stay in, because it has no switch for them. Needs root.
 */
export async function liveBuild(folder: string, proxy: string): Promise<Measured & { readonly iso: string }> {
	await rm(folder, { recursive: true, force: true });
	const lists = join(folder, "config", "package-lists");
	await mkdir(lists, { recursive: true });
	await writeFile(join(lists, "live.list.chroot"), "live-boot\n");
	await writeFile(join(lists, "bench.list.chroot"), `${PACKAGES.join("\n")}\n`);
	const config = Object.entries({ ...CONFIG, "apt-http-proxy": proxy }).flatMap(([key, value]) => [`--${key}`, value]);
	await measure("lb", ["config", ...config], folder);
	await measure("sync", []);
	const run = await measure("env", ["LC_ALL=C.UTF-8", "lb", "build"], folder);
	const iso = (await readdir(folder)).find((name) => name.endsWith(".iso"));
	if (iso === undefined) throw new Error(`live-build made no ISO:\n${run.stdout.slice(-2000)}`);
	return { ...run, iso: join(folder, iso) };
}

const PACKAGES = ["systemd-sysv", "udev", "dbus", "iproute2", "kmod", "openssl", "zstd"];

const CONFIG = {
	mode: "debian",
	distribution: "trixie",
	architecture: "amd64",
	"archive-areas": "main",
	"parent-archive-areas": "main",
	"debootstrap-options": "--variant=minbase",
	"apt-recommends": "false",
	"apt-source-archives": "false",
	// Its addresses of that archive are those of an older suite.
	security: "false",
	"linux-flavours": "cloud-amd64",
	"binary-image": "iso-hybrid",
	bootloaders: "grub-pc grub-efi",
	"chroot-squashfs-compression-type": "zstd",
	"chroot-squashfs-compression-level": "9",
	memtest: "none",
	"win32-loader": "false",
	"firmware-chroot": "false",
	"firmware-binary": "false",
	zsync: "false",
	"debian-installer": "none",
	cache: "false",
};
