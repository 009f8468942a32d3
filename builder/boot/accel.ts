import { access, constants } from "node:fs/promises";
import { hostArch } from "../tools/host-arch.ts";
import { qemuProgram } from "../tools/qemu.ts";
import type { Run } from "../tools/run.ts";

const PROBE_MS = 12_000;
/** A kernel that runs says its first line within half a second, on a quiet host. */
const SILENT_MS = 6_000;

/**
 * Whether KVM really runs a guest here: starts the appliance's own kernel without a root, which panics and reboots within a
 * second or two. To open `device` proves nothing: there are hosts on which every kernel hangs. Errors: E_INTERRUPTED.
 */
export async function probeAccel(
	run: Run,
	arch: "amd64" | "arm64",
	kernel: string,
	signal: AbortSignal,
	device = "/dev/kvm",
): Promise<{ accel: "kvm" | "tcg"; why: string }> {
	const native = arch === hostArch();
	if (!native) return { accel: "tcg", why: `this host is not ${arch}` };
	if (
		!(await access(device, constants.R_OK | constants.W_OK).then(
			() => true,
			() => false,
		))
	) {
		return { accel: "tcg", why: `${device} is not there, or not for this user` };
	}
	const console = arch === "arm64" ? "ttyAMA0" : "ttyS0";
	const args = [
		...["-machine", arch === "arm64" ? "virt" : "q35", "-accel", "kvm", "-cpu", "host", "-m", "256", "-smp", "1"],
		...["-display", "none", "-nodefaults", "-no-reboot", "-serial", "stdio"],
		...["-kernel", kernel, "-append", `console=${console} panic=-1`],
	];
	const silent = new AbortController();
	let [spoke, ran] = [false, false];
	// Where this process itself stood still, what the kernel said in the meantime is read first.
	const timer = setTimeout(() => setImmediate(() => spoke || silent.abort()), SILENT_MS);
	const onLine = (line: string) => {
		spoke ||= /^\[ *\d+\.\d+\]/.test(line);
		ran ||= line.includes("Kernel panic - not syncing: VFS");
	};
	await run(qemuProgram(arch), args, { timeout: PROBE_MS, signal: AbortSignal.any([signal, silent.signal]), onLine })
		.catch((error: unknown) => {
			if (signal.aborted) throw error;
		})
		.finally(() => clearTimeout(timer));
	return ran ? { accel: "kvm", why: "a guest runs under KVM" } : { accel: "tcg", why: "no guest runs under KVM here" };
}
