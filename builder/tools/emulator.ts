import { access, constants, readFile } from "node:fs/promises";
import { SlipwayError } from "../../bundle/errors.ts";
import { type Arch, hostArch } from "./host-arch.ts";

const QEMU = { amd64: "x86_64", arm64: "aarch64" } as const;

/** The program that runs one program of another architecture: linked statically, so that it works inside any root. Pure. */
export function emulatorOf(arch: Arch): string {
	return `/usr/bin/qemu-${QEMU[arch]}-static`;
}

/** What runs one program of the architecture here; null: nothing is needed. Errors: E_EMULATOR. */
export async function emulatorFor(arch: Arch): Promise<string | null> {
	if (arch === hostArch()) return null;
	await checkEmulator(arch);
	return emulatorOf(arch);
}

/** Errors: E_EMULATOR when this host cannot start one program of the architecture. */
export async function checkEmulator(arch: Arch): Promise<void> {
	const program = emulatorOf(arch);
	await access(program, constants.X_OK).catch((cause) => {
		throw new SlipwayError("E_EMULATOR", `A few programs of ${arch} must run, and there is no ${program}.`, { cause });
	});
}

/**
 * Errors: E_EMULATOR when the kernel does not start programs of the architecture by itself (binfmt_misc), so that one may start
 * another.
 */
export async function checkBinfmt(arch: Arch, folder = "/proc/sys/fs/binfmt_misc"): Promise<void> {
	const entry = await readFile(`${folder}/qemu-${QEMU[arch]}`, "utf8").catch(() => "");
	// F: the interpreter was opened when it was registered, so that a root need not hold it.
	if (/^enabled$/m.test(entry) && /^flags: .*F/m.test(entry)) return;
	throw new SlipwayError(
		"E_EMULATOR",
		`The kernel does not start programs of ${arch}: binfmt_misc has no enabled qemu-${QEMU[arch]}.`,
		{ next: "As root, run `scripts/setup emulated`." },
	);
}
