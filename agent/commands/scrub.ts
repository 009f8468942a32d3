import { SlipwayError } from "../../bundle/errors.ts";
import { readConfig } from "../config/read.ts";
import { askAgent } from "../control/client.ts";
import type { ScrubStatus } from "../status/state.ts";
import type { Command } from "./command.ts";
import { mib } from "./text.ts";

export const scrubCommand: Command = {
	name: "scrub",
	summary: "Starts the slow reading of the whole store in the background now",
	options: [],
	async run({ config: file, json, print }) {
		const config = await readConfig(file);
		const status = (await askAgent(config.run, "POST", "/v1/store/scrub")) as ScrubStatus | undefined;
		if (status === undefined)
			throw new SlipwayError("E_AGENT_DOWN", "No agent runs that could read in the background.");
		print(
			json
				? JSON.stringify(status)
				: `Under way: ${mib(status.bytesDone)} of ${mib(status.bytesTotal)}. \`slipway agent status\` shows how far it is.`,
		);
		return 0;
	},
};
