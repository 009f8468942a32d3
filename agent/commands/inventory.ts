import { writeFile } from "node:fs/promises";
import { inventory } from "../../bundle/inventory.ts";
import { readConfig } from "../config/read.ts";
import { askAgent } from "../control/client.ts";
import { takeInventory } from "../store/inventory.ts";
import type { Command } from "./command.ts";
import { withStoppedStore } from "./stopped.ts";

export const inventoryCommand: Command = {
	name: "inventory",
	summary: "Lists what the store holds, for a builder that makes a bundle of only what is missing here",
	options: [{ name: "output", value: "FILE", help: "write it to FILE instead of the terminal" }],
	async run({ config: file, options, print }) {
		const config = await readConfig(file);
		const found = inventory.parse(
			(await askAgent(config.run, "GET", "/v1/store/inventory")) ?? (await withStoppedStore(config, takeInventory)),
		);
		const text = `${JSON.stringify(found, null, "\t")}\n`;
		if (typeof options.output === "string") await writeFile(options.output, text);
		else print(text);
		return 0;
	},
};
