import { readConfig } from "../config/read.ts";
import { askAgent } from "../control/client.ts";
import type { Freed } from "../store/gc.ts";
import { collectAll } from "../store/gc.ts";
import type { Command } from "./command.ts";
import { withStoppedStore } from "./stopped.ts";
import { count, mib } from "./text.ts";

export const gcCommand: Command = {
	name: "gc",
	summary: "Removes what neither the last two releases nor a running load needs, and quarantined blobs",
	options: [],
	async run({ config: file, json, print }) {
		const config = await readConfig(file);
		const freed = ((await askAgent(config.run, "POST", "/v1/store/gc")) ??
			(await withStoppedStore(config, collectAll))) as Freed;
		print(
			json
				? JSON.stringify(freed)
				: `${mib(freed.bytes)} freed: ${count(freed.blobs, "blob")}, ${count(freed.documents, "document")}`,
		);
		return 0;
	},
};
