import { Gauge, Registry } from "prom-client";
import type { BootStatus, Stage, State } from "./state.ts";

const STAGES: readonly Stage[] = ["booting", "preflight", "verifying", "serving", "ready", "degraded", "failed"];
const ROOT: readonly BootStatus["root"][] = ["authenticated", "integrity-checked", "unchecked"];

/** The state in the Prometheus text format. Base units; an own registry, so nothing of the process leaks in by default. */
export function metrics(state: State): Registry {
	const registry = new Registry();
	const gauge = (name: string, help: string, collect: (gauge: Gauge) => void, labelNames: string[] = []) =>
		new Gauge({
			name: `slipway_${name}`,
			help,
			labelNames,
			registers: [registry],
			collect() {
				this.reset();
				collect(this);
			},
		});
	gauge(
		"info",
		"Product, version and build of this appliance",
		(g) => {
			const { product, version, profile, buildId } = state.status;
			g.set({ product, version, profile, build_id: buildId }, 1);
		},
		["product", "version", "profile", "build_id"],
	);
	gauge(
		"stage",
		"1 for the stage the agent is in",
		(g) => {
			for (const stage of STAGES) g.set({ stage }, stage === state.status.stage ? 1 : 0);
		},
		["stage"],
	);
	gauge(
		"condition_ok",
		"1 for a condition that holds, 0 for one that does not",
		(g) => {
			for (const c of state.status.conditions) g.set({ condition: c.name, code: c.code ?? "" }, c.ok ? 1 : 0);
		},
		["condition", "code"],
	);
	gauge(
		"bundle_committed",
		"1 for a bundle that is committed and served",
		(g) => {
			for (const b of state.status.bundles) {
				g.set({ bundle: b.name, version: b.version, arch: b.arch }, b.state === "committed" ? 1 : 0);
			}
		},
		["bundle", "version", "arch"],
	);
	gauge("load_blobs_done", "Blobs verified in the present load", (g) => g.set(state.status.progress.blobsDone));
	gauge("load_blobs", "Blobs of the present load", (g) => g.set(state.status.progress.blobsTotal));
	gauge("load_done_bytes", "Bytes verified in the present load", (g) => g.set(state.status.progress.bytesDone));
	gauge("load_bytes", "Bytes of the present load", (g) => g.set(state.status.progress.bytesTotal));
	gauge("missing_blobs", "Blobs that the served set needs and no source has", (g) =>
		g.set(state.status.missingBlobs?.length ?? 0),
	);
	gauge("scrub_running", "1 while the whole store is read in the background", (g) =>
		g.set(state.status.scrub.running ? 1 : 0),
	);
	gauge("scrub_done_bytes", "Bytes read by the present scrub", (g) => g.set(state.status.scrub.bytesDone));
	gauge("scrub_bytes", "Bytes of the present scrub", (g) => g.set(state.status.scrub.bytesTotal));
	gauge("scrub_damaged_blobs", "Damaged blobs that the last scrub found", (g) => {
		if (state.status.scrub.last !== null) g.set(state.status.scrub.last.bad);
	});
	gauge(
		"root_image",
		"1 for what stands behind the root image: authenticated, integrity-checked or unchecked",
		(g) => {
			for (const is of ROOT) g.set({ is }, is === state.status.boot.root ? 1 : 0);
		},
		["is"],
	);
	gauge("secure_boot", "1 when Secure Boot is on", (g) => {
		if (state.status.boot.secureBoot !== null) g.set(state.status.boot.secureBoot ? 1 : 0);
	});
	gauge("fips_active", "1 when FIPS mode is proved", (g) => g.set(state.status.fips.active ? 1 : 0));
	gauge("development_key", "1 when a development key is trusted", (g) => g.set(state.status.developmentKey ? 1 : 0));
	gauge("resident_memory_bytes", "Resident memory of the agent", (g) => g.set(process.memoryUsage.rss()));
	return registry;
}
