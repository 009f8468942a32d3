import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { qemuArgs } from "../../builder/tools/qemu.ts";
import { run } from "../../builder/tools/run.ts";
import { serialOf } from "../support/serial-guest.ts";
import type { Figure } from "./main.ts";
import { childCpuSeconds, measure } from "./measure.ts";

const TIMEOUT_MS = 900_000;

/** Everything that the overlay `appliance` enables: without it `multi-user.target` is the distribution's own. */
const OURS = ["slipway-prepare.service", "slipway-medium.path", "slipway-agent.service", "systemd-networkd.service"];
const READY = /^slipway: state=ready$/m;
const MULTI_USER = /Reached target .*multi-user\.target/;

/**
 * From the start of an emulated machine to what `/readyz` answers with 200 (`minimal-amd64` is on no network, so the console tells),
 * against the same kernel, initrd, root image and medium to a `multi-user.target` in which nothing of ours runs, the network included. QEMU starts the
 * kernel itself: the time that firmware and GRUB take would only bring the two closer. Emulated even where KVM works.
 */
export async function bootTime(root: string): Promise<Figure[]> {
	const built = await measure(join(root, "slipway"), ["build", "minimal-amd64", "--base", "debian-13", "--json"], root);
	const { iso } = JSON.parse(built.stdout) as { iso: string };
	// Short, for the socket in it.
	const work = await mkdtemp(join(tmpdir(), "slipway-boot-"));
	try {
		const line = await unpackBoot(iso, work);
		const masked = OURS.map((unit) => `systemd.mask=${unit}`);
		const bare = await startUntil(MULTI_USER, iso, [...line, ...masked], work);
		const ours = await startUntil(READY, iso, line, work);
		return [
			{
				name: "start of `minimal-amd64` under emulation to ready, once",
				ours: text(ours),
				beside: `to a bare multi-user.target: ${text(bare)}`,
				value: ours.seconds / bare.seconds,
				limit: 1.5,
				unit: "times",
			},
		];
	} finally {
		await rm(work, { recursive: true, force: true });
	}
}

/** Kernel and initrd into `work`; the kernel line of the entry that starts on the serial console, with systemd telling what it reaches. */
async function unpackBoot(iso: string, work: string): Promise<string[]> {
	const files = ["/boot/vmlinuz", "/boot/initrd", "/boot/grub/grub.cfg"];
	const extract = files.flatMap((file) => ["-extract", file, join(work, file.slice(file.lastIndexOf("/") + 1))]);
	await run("xorriso", ["-osirrox", "on", "-indev", `stdio:${iso}`, ...extract]);
	const menu = await readFile(join(work, "grub.cfg"), "utf8");
	const line = /^menuentry "Start with serial console.*\n\tlinux \S+ (.*)$/m.exec(menu)?.[1];
	if (line === undefined) throw new Error(`no entry for a serial console:\n${menu}`);
	return [...line.split(" "), "quiet", "systemd.show_status=true"];
}

interface Start {
	readonly seconds: number;
	/** What the emulator took. */
	readonly cpuSeconds: number;
}

function text({ seconds, cpuSeconds }: Start): string {
	return `${seconds.toFixed(1)} s (${cpuSeconds.toFixed(0)} s of CPU)`;
}

async function startUntil(wanted: RegExp, iso: string, line: readonly string[], work: string): Promise<Start> {
	const serialLog = join(work, "serial.log");
	await rm(serialLog, { force: true });
	const machine = qemuArgs({
		...{ arch: "amd64", firmware: "bios", media: "cd", memory: 1536, accel: "tcg" },
		...{ iso, serialLog, forward: [], uefi: null, disk: null, qmp: join(work, "qmp") },
	});
	const kernel = ["-kernel", join(work, "vmlinuz"), "-initrd", join(work, "initrd"), "-append", line.join(" ")];
	// What QEMU starts itself is first; the medium cannot be too.
	const guest = machine.map((word) => word.replace(",bootindex=0", ""));
	const before = await childCpuSeconds();
	const started = performance.now();
	const said = await serialOf([...guest, ...kernel], serialLog, [wanted], TIMEOUT_MS);
	const seconds = (performance.now() - started) / 1000;
	if (!wanted.test(said)) throw new Error(`the guest never said ${wanted}:\n${said.slice(-2000)}`);
	return { seconds, cpuSeconds: (await childCpuSeconds()) - before };
}
