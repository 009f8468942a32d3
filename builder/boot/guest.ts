import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { type EfiVariable, enrolled, withVariables } from "../tools/efi-vars.ts";
import { type Guest, INSERT_STICK, PULL_STICK, qemuArgs, qemuProgram, uefiFirmware } from "../tools/qemu.ts";
import { qmp } from "../tools/qmp.ts";
import type { Run } from "../tools/run.ts";
import { UKI_CERTIFICATE } from "../uki/boots.ts";
import { probeAccel } from "./accel.ts";

export interface GuestOptions extends Omit<Guest, "accel" | "uefi" | "forward" | "qmp"> {
	/** Ports of the guest to reach from this host's loopback address. */
	readonly ports: readonly number[];
	/** With Secure Boot the certificate on the ISO is the only one enrolled, in place of Microsoft's. */
	readonly ownKey: boolean;
	/** Further UEFI variables, for firmware whose keys are not Microsoft's. */
	readonly variables?: readonly EfiVariable[];
	/** Scratch folder. */
	readonly work: string;
	readonly run: Run;
	readonly signal: AbortSignal;
}

export interface RunningGuest {
	readonly accel: "kvm" | "tcg";
	readonly why: string;
	/** Ports of this host, in the order asked for. */
	readonly ports: readonly number[];
	/** Settles when QEMU has ended, with its failure if it failed. */
	readonly ended: Promise<unknown>;
	/** Pulls the stick out that it was started from. Errors: E_TOOL_FAILED, E_IO. */
	pullMedium(): Promise<void>;
	/** Puts it back. Errors: E_TOOL_FAILED, E_IO. */
	insertMedium(): Promise<void>;
	stop(): Promise<void>;
}

/** Starts QEMU with an ISO, under KVM where a guest really runs. Errors: E_TOOL_MISSING. */
export async function startGuest(o: GuestOptions): Promise<RunningGuest> {
	const kernel = join(o.work, "vmlinuz");
	const report = ["-osirrox", "on", "-indev", `stdio:${o.iso}`, "-extract", "/boot/vmlinuz", kernel];
	await o.run("xorriso", report, { signal: o.signal });
	const { accel, why } = await probeAccel(o.run, o.arch, kernel, o.signal);
	const ports = await freePorts(o.ports.length);
	const uefi = o.firmware === "bios" ? null : await uefiFirmware(o.arch, o.firmware, join(o.work, "vars.fd"));
	if (uefi !== null) await setVariables(o, uefi.vars);
	const forward = o.ports.map((port, i) => [port, ports[i]!] as const);
	// The kernel takes 107 bytes for a socket's path (unix(7)), and the scratch folder may lie deep.
	const short = await mkdtemp("/tmp/slipway-qmp-");
	const socket = join(short, "s");
	const stopping = new AbortController();
	const signal = AbortSignal.any([o.signal, stopping.signal]);
	const ended = o
		.run(qemuProgram(o.arch), qemuArgs({ ...o, accel, uefi, forward, qmp: socket }), { signal })
		.finally(() => rm(short, { recursive: true, force: true }))
		.then(
			() => undefined,
			(error: unknown) => error,
		);
	return {
		accel,
		why,
		ports,
		ended,
		pullMedium: () => qmp(socket, [PULL_STICK]),
		insertMedium: () => qmp(socket, [INSERT_STICK]),
		stop: async () => {
			stopping.abort();
			const error = await ended;
			const expected = error === undefined || (error instanceof SlipwayError && error.code === "E_INTERRUPTED");
			if (!expected) throw error;
		},
	};
}

async function setVariables(o: GuestOptions, image: string): Promise<void> {
	const variables = [...(o.variables ?? [])];
	if (o.ownKey && o.firmware === "uefi-secureboot") {
		const certificate = join(o.work, "certificate.cer");
		const extract = ["-extract", `/${UKI_CERTIFICATE}`, certificate];
		await o.run("xorriso", ["-osirrox", "on", "-indev", `stdio:${o.iso}`, ...extract], { signal: o.signal });
		variables.push(...enrolled(await readFile(certificate)));
	}
	if (variables.length > 0) await writeFile(image, withVariables(await readFile(image), variables));
}

/** Ports that nothing listens on. Another program may take one in between; QEMU then says so. */
async function freePorts(count: number): Promise<number[]> {
	const servers = await Promise.all(
		Array.from(
			{ length: count },
			() =>
				new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
					const server = createServer().once("error", reject);
					server.listen(0, "127.0.0.1", () => resolve(server));
				}),
		),
	);
	const ports = servers.map((server) => (server.address() as { port: number }).port);
	await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
	return ports;
}
