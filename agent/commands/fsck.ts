import { readConfig } from "../config/read.ts";
import { askAgent } from "../control/client.ts";
import { type Fault, type FsckReport, fsck } from "../store/fsck.ts";
import type { Command } from "./command.ts";
import { withStoppedStore } from "./stopped.ts";
import { count, mib } from "./text.ts";

/** The exit code of what does not verify. */
const DAMAGED = 6;

export const fsckCommand: Command = {
	name: "fsck",
	summary: "Checks the store; damaged blobs are taken out of it, and the agent loads them again from the medium",
	options: [{ name: "full", help: "read and hash every byte, not only what looks changed" }],
	async run({ config: file, json, options, print }) {
		const config = await readConfig(file);
		const mode = options.full === true ? "full" : "quick";
		const report = ((await askAgent(config.run, "POST", `/v1/store/fsck?mode=${mode}`)) ??
			(await withStoppedStore(config, (store) =>
				fsck(store, { mode, condemn: (digest, _fault, seen) => store.quarantine(digest, seen) }),
			))) as FsckReport;
		print(json ? JSON.stringify(report, null, "\t") : describe(report));
		return report.ok ? 0 : DAMAGED;
	},
};

function describe(report: FsckReport): string {
	const line = (what: string) => (fault: Fault) =>
		`${what}: ${fault.name} (${fault.release} release): ${fault.fault.replace(/\.$/, "")}`;
	return [
		...report.bad.map(line("damaged")),
		...report.missing.map(line("missing")),
		...report.documents.map(line("document")),
		...report.extra.map((path) => `not needed: ${path}`),
		`${count(report.releases.length, "release")}, ${count(report.blobs, "blob")}, ${mib(report.bytes)} read: ${verdict(report)}`,
	].join("\n");
}

function verdict({ ok, bad, missing, documents, releases }: FsckReport): string {
	if (releases.length === 0) return "nothing is committed";
	return ok ? "everything is right" : `${count(bad.length + missing.length + documents.length, "fault")}`;
}
