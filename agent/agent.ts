import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { FastifyInstance } from "fastify";
import type { ApplianceConfig } from "../bundle/appliance.ts";
import { BringUp } from "./bring-up.ts";
import { showOnConsoles } from "./console/console.ts";
import { createControl } from "./control/control.ts";
import { listenOnSocket } from "./control/socket.ts";
import { listen, renewTls } from "./http/app.ts";
import { addresses, ownHosts } from "./http/hosts.ts";
import { HostWatch } from "./http/watch.ts";
import { showOnLeds } from "./leds/leds.ts";
import { type KernelLine, readKernelLine } from "./load/kernel.ts";
import { watchBoot } from "./preflight/boot.ts";
import { type FipsView, fipsStatus } from "./preflight/fips.ts";
import { rootImage } from "./preflight/root-image.ts";
import { AuditFile } from "./registry/audit-file.ts";
import { createRegistry } from "./registry/registry.ts";
import { writeStatusFile } from "./status/file.ts";
import { createStatus } from "./status/server.ts";
import { State } from "./status/state.ts";
import { volume } from "./store/files.ts";
import { lockStore } from "./store/lock.ts";
import { Scrub } from "./store/scrub.ts";
import { type Certificate, deviceCertificate } from "./tls/certificate.ts";

const ADDRESS_CHECK_MS = 5_000;
const STATUS_CONNECTIONS = 32;
const REGISTRY_CONNECTIONS = 256;

/** What the agent reads of the machine it runs on; the tests give other answers. */
export interface Facts {
	readonly kernel?: KernelLine;
	readonly fips?: FipsView;
}

export interface Agent {
	readonly state: State;
	/** Resolves when the first attempt to bring the content up has ended, well or not. */
	readonly settled: Promise<void>;
	stop(): Promise<void>;
}

/**
 * Starts the agent: takes the store, opens status and registry, shows the state on file and consoles, and brings the content
 * up in the background. Bad hardware or content does not end it: it stays and tells. Errors: E_BUSY, E_CONFIG, E_IO, E_TOOL_*.
 */
export async function startAgent(config: ApplianceConfig, facts: Facts = {}): Promise<Agent> {
	await mkdir(config.store, { recursive: true });
	const lock = await lockStore(config.store);
	const kernel = facts.kernel ?? (await readKernelLine());
	const state = await initialState(config, kernel, facts.fips);
	const closers: (() => unknown)[] = [() => new Promise((resolve) => lock.close(resolve))];
	const stop = async () => {
		for (let close = closers.pop(); close; close = closers.pop()) await close();
	};
	try {
		closers.push(await writeStatusFile(state, config.run));
		closers.push(await showOnConsoles(state, config.consoles));
		closers.push(await showOnLeds(state, config.leds));
		const bringUp = new BringUp(config, kernel, state);
		closers.push(() => bringUp.stop());
		closers.push(watchBoot(config.boot, state));
		await openEndpoints(config, state, bringUp, closers);
		await openControl(config, state, bringUp, closers);
		return { state, settled: bringUp.run(), stop };
	} catch (error) {
		state.fail("start", error);
		await stop();
		throw error;
	}
}

/** Opens status and registry, and keeps addresses and certificate up to date. What closes them goes to `closers`. */
async function openEndpoints(config: ApplianceConfig, state: State, bringUp: BringUp, closers: (() => unknown)[]) {
	const { expose, registryPort, statusPort, names } = config.network;
	const folder = join(config.store, "state", "tls");
	let hosts = ownHosts(names);
	let tls: Certificate | undefined = expose === "lan" ? await deviceCertificate(folder, hosts) : undefined;

	const options = { tls, hosts: () => hosts };
	const status = createStatus(state, () => tls, { ...options, maxConnections: STATUS_CONNECTIONS });
	const audit = await AuditFile.open(join(config.store, "audit"), config.audit, (error) => {
		if (error === undefined) state.condition("audit");
		else state.warn("audit", "W_AUDIT", `The record of pulls cannot be written: ${error.code ?? error.message}.`);
	});
	const registry = createRegistry(bringUp.serving, { ...options, maxConnections: REGISTRY_CONNECTIONS, audit });
	closers.push(
		() => audit.close(),
		() => status.close(),
		() => registry.close(),
	);
	const ports = {
		status: await listen(status, expose, statusPort),
		registry: await listen(registry, expose, registryPort),
	};
	const tell = () => {
		const list = expose === "lan" ? addresses() : ["127.0.0.1"];
		const url = (port: number) => `${tls ? "https" : "http"}://${bracket(list[0] ?? "127.0.0.1")}:${port}`;
		state.update({
			addresses: list,
			urls: { status: `${url(ports.status)}/`, registry: `${url(ports.registry)}/v2/` },
			tlsSha256: tls?.sha256 ?? null,
		});
	};
	tell();

	const watch = new HostWatch(hosts, state, async (now) => {
		hosts = now;
		tell();
		if (tls) tls = await renew(folder, hosts, [status, registry]);
		tell();
	});
	const timer = setInterval(() => watch.look(ownHosts(names)), ADDRESS_CHECK_MS);
	closers.push(() => clearInterval(timer));
}

/** Opens what cares for the store: the scrub in the background, and the control socket. */
async function openControl(config: ApplianceConfig, state: State, bringUp: BringUp, closers: (() => unknown)[]) {
	const scrub = await Scrub.open({
		folder: join(config.store, "state"),
		everyHours: config.scrub.everyHours,
		state,
		source: () => bringUp.source(),
		isBusy: () => bringUp.isBusy,
	});
	closers.push(() => scrub.stop());
	closers.push(await listenOnSocket(createControl({ state, source: () => bringUp.source(), scrub }), config.run));
}

async function renew(folder: string, hosts: readonly string[], apps: readonly FastifyInstance[]): Promise<Certificate> {
	const tls = await deviceCertificate(folder, hosts);
	for (const app of apps) renewTls(app, tls);
	return tls;
}

function bracket(address: string): string {
	return address.includes(":") ? `[${address}]` : address;
}

async function initialState(config: ApplianceConfig, kernel: KernelLine, fips?: FipsView): Promise<State> {
	const { product, version, profile, arch, buildId } = config;
	return new State({
		stage: "booting",
		since: new Date().toISOString(),
		progress: { blobsDone: 0, blobsTotal: 0, bytesDone: 0, bytesTotal: 0 },
		conditions: [],
		lastError: null,
		product,
		version,
		profile,
		arch,
		buildId,
		rootId: kernel.rootId,
		boot: (await rootImage(config.boot, kernel)).status,
		fips: await fipsStatus(config, fips),
		developmentKey: false,
		store: { path: config.store, kind: (await volume(config.store)).kind },
		scrub: { running: false, bytesDone: 0, bytesTotal: 0, last: null },
		release: null,
		bundles: [],
		servedFrom: null,
		mediumPresent: null,
		missingBlobs: null,
		target: config.registry.target === null ? null : { url: config.registry.target, delivered: false },
		mediumCheck: null,
		addresses: [],
		urls: { registry: null, status: null },
		tlsSha256: null,
	});
}
