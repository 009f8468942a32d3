import { join } from "node:path";
import { loadTrust } from "../../bundle/trust.ts";
import { readConfig } from "../config/read.ts";
import { readKernelLine } from "../load/kernel.ts";
import { TrustLedger } from "../trust/ledger.ts";
import { rollBack } from "../trust/rollback.ts";
import type { Command } from "./command.ts";
import { withStoppedStore } from "./stopped.ts";

export const rollbackCommand: Command = {
	name: "rollback",
	summary: "Goes back to the kept previous release, where a signed statement plans that; the agent must be stopped",
	options: [],
	async run({ config: file, json, print }) {
		const config = await readConfig(file);
		const { rootId } = await readKernelLine();
		const { release } = await withStoppedStore(config, async (store) => {
			const ledger = await TrustLedger.open(join(config.store, "state", "trust"), await loadTrust(config.trust));
			await ledger.accept(config.content);
			return rollBack(store, ledger, config, rootId);
		});
		const { version, sequence } = release.release;
		print(
			json
				? JSON.stringify({ version, sequence, digest: release.digest })
				: `Committed: ${version} (sequence ${sequence}). Take the newer medium out before the agent starts, or it is loaded again.`,
		);
		return 0;
	},
};
