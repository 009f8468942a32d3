import { access, copyFile } from "node:fs/promises";
import { SlipwayError } from "../../bundle/errors.ts";
import type { QmpCommand } from "./qmp.ts";

/** `uefi`: no keys enrolled, so that Secure Boot is off; `uefi-secureboot`: enrolled and on. */
export const FIRMWARE = ["bios", "uefi", "uefi-secureboot"] as const;
export type Firmware = (typeof FIRMWARE)[number];

export interface Guest {
	readonly arch: "amd64" | "arm64";
	readonly firmware: Firmware;
	readonly media: "cd" | "usb";
	readonly iso: string;
	/** MiB. */
	readonly memory: number;
	readonly accel: "kvm" | "tcg";
	readonly serialLog: string;
	/** Port of the guest → port of this host's loopback address. */
	readonly forward: readonly (readonly [guest: number, host: number])[];
	/** UEFI code and a copy of its variables, which the guest may write. */
	readonly uefi: { readonly code: string; readonly vars: string } | null;
	/** Image of a further disk. */
	readonly disk: string | null;
	/** Socket on which it takes commands. */
	readonly qmp: string;
}

/** Firmware images of Debian and Ubuntu: code and variables, first found wins. Secure Boot's have Microsoft's keys enrolled. */
const UEFI = {
	uefi: {
		amd64: [
			["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"],
			["/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"],
		],
		arm64: [["/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"]],
	},
	"uefi-secureboot": {
		amd64: [
			["/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"],
			["/usr/share/OVMF/OVMF_CODE.secboot.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd"],
		],
		arm64: [["/usr/share/AAVMF/AAVMF_CODE.ms.fd", "/usr/share/AAVMF/AAVMF_VARS.ms.fd"]],
	},
} as const;

/** Code of the firmware, and `vars`: a copy of its variables that the guest may write. Errors: E_TOOL_MISSING. */
export async function uefiFirmware(
	arch: Guest["arch"],
	firmware: Exclude<Firmware, "bios">,
	vars: string,
): Promise<NonNullable<Guest["uefi"]>> {
	for (const [code, fresh] of UEFI[firmware][arch]) {
		const there = await Promise.all([access(code), access(fresh)]).then(
			() => true,
			() => false,
		);
		if (!there) continue;
		await copyFile(fresh, vars);
		return { code, vars };
	}
	throw new SlipwayError(
		"E_TOOL_MISSING",
		`There is no firmware of kind ${firmware} for QEMU (${arch}) on this host.`,
		{
			next: `Run \`apt-get install ${arch === "amd64" ? "ovmf" : "qemu-efi-aarch64"}\` as root.`,
		},
	);
}

export function qemuProgram(arch: Guest["arch"]): string {
	return arch === "amd64" ? "qemu-system-x86_64" : "qemu-system-aarch64";
}

/**
 * QEMU's command line. Pure. Without KVM the CPU must not have the fast string instructions: kernels then clear pages by a way
 * that is so slow under emulation that it looks like a hang. Arm's is one without long vectors and without the fifth level
 * of page tables, which cost much and prove nothing here, and with a cheap kind of pointer authentication.
 */
export function qemuArgs(g: Guest): string[] {
	const intel = g.arch === "amd64";
	const machine = intel ? `q35${g.uefi === null ? "" : ",smm=on"}` : "virt";
	const cpu = intel ? "max,erms=off,fsrm=off" : "max,pauth-impdef=on,sve=off,lpa2=off";
	const forward = g.forward.map(([guest, host]) => `,hostfwd=tcp:127.0.0.1:${host}-:${guest}`).join("");
	return [
		...["-machine", machine, "-m", String(g.memory), "-smp", "2", "-display", "none", "-no-reboot", "-nodefaults"],
		...(g.accel === "kvm" ? ["-accel", "kvm", "-cpu", "host"] : ["-accel", "tcg,thread=multi", "-cpu", cpu]),
		...(g.uefi === null ? [] : firmwareArgs(g.uefi, intel)),
		...mediaArgs(g),
		...(g.disk === null
			? []
			: ["-drive", `if=none,id=data,format=raw,file=${comma(g.disk)}`, "-device", "virtio-blk-pci,drive=data"]),
		...["-nic", `user,model=virtio-net-pci${forward}`],
		...[
			"-device",
			"virtio-rng-pci",
			"-qmp",
			`unix:${comma(g.qmp)},server=on,wait=off`,
			"-chardev",
			`file,id=serial,path=${comma(g.serialLog)}`,
			"-serial",
			"chardev:serial",
		],
	];
}

function firmwareArgs({ code, vars }: NonNullable<Guest["uefi"]>, intel: boolean): string[] {
	return [
		...(intel ? ["-global", "driver=cfi.pflash01,property=secure,value=on"] : []),
		...["-drive", `if=pflash,unit=0,format=raw,readonly=on,file=${comma(code)}`],
		...["-drive", `if=pflash,unit=1,format=raw,file=${comma(vars)}`],
	];
}

/** The stick. Its image stays open when it is pulled out. */
const STICK = { driver: "usb-storage", id: "stick", bus: "usb.0", drive: "medium" };

/** What pulls the stick out of a running guest, and what puts it back. */
export const PULL_STICK: QmpCommand = { execute: "device_del", arguments: { id: STICK.id } };
export const INSERT_STICK: QmpCommand = { execute: "device_add", arguments: { ...STICK, removable: true } };

function mediaArgs({ arch, media, iso }: Guest): string[] {
	const drive = `driver=raw,node-name=medium,read-only=on,file.driver=file,file.filename=${comma(iso)}`;
	if (media === "usb") {
		const { driver, ...rest } = STICK;
		const stick = [driver, ...Object.entries(rest).map(([key, value]) => `${key}=${value}`)];
		return ["-blockdev", drive, "-device", "qemu-xhci,id=usb", "-device", `${stick},removable=on,bootindex=0`];
	}
	const reader =
		arch === "amd64"
			? ["-device", "ide-cd,drive=medium,bootindex=0"]
			: ["-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=medium,bootindex=0"];
	return ["-blockdev", drive, ...reader];
}

/** In QEMU's option lists a comma within a value is doubled. */
function comma(path: string): string {
	return path.replaceAll(",", ",,");
}
