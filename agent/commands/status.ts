import { SlipwayError } from "../../bundle/errors.ts";
import { readConfig } from "../config/read.ts";
import { askAgent } from "../control/client.ts";
import { isReady } from "../status/health.ts";
import type { Status } from "../status/state.ts";
import type { Command } from "./command.ts";
import { mib } from "./text.ts";

export const statusCommand: Command = {
	name: "status",
	summary: "Shows how the agent is; ends with 0 when it is ready, else with 1",
	options: [],
	async run({ config: file, json, print }) {
		const config = await readConfig(file);
		const status = (await askAgent(config.run, "GET", "/v1/status")) as Status | undefined;
		if (status === undefined) throw new SlipwayError("E_AGENT_DOWN", `No agent uses the folder ${config.run}.`);
		print(json ? JSON.stringify(status, null, "\t") : describe(status));
		return isReady(status) ? 0 : 1;
	},
};

function describe(status: Status): string {
	const { release, progress, scrub, urls } = status;
	return [
		`${status.product} ${status.version}: ${status.stage} since ${status.since}`,
		`release   ${release === null ? "none" : `${release.version} (sequence ${release.sequence})`}`,
		`boot      Secure Boot ${secureBoot(status)}, root image ${status.boot.root}`,
		...status.bundles.map((b) => `bundle    ${b.name} ${b.version} ${b.arch}: ${b.state}`),
		`loaded    ${mib(progress.bytesDone)} of ${mib(progress.bytesTotal)}`,
		`scrub     ${scrubLine(scrub)}`,
		`registry  ${urls.registry ?? "closed"}`,
		...status.conditions.filter((c) => c.code !== null).map((c) => `${c.code}  ${c.cause}\n  Next: ${c.next}`),
	].join("\n");
}

function secureBoot({ boot }: Status): string {
	return boot.secureBoot === null ? "not asked" : boot.secureBoot ? "on" : "off";
}

function scrubLine({ running, bytesDone, bytesTotal, last }: Status["scrub"]): string {
	const now = running ? `${mib(bytesDone)} of ${mib(bytesTotal)} read; ` : "";
	return `${now}last: ${last === null ? "never" : `${last.ended}, ${last.blobs} blobs, ${last.bad} damaged`}`;
}
