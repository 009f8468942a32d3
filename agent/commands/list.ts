import type { Command } from "./command.ts";
import { containerdConfigCommand } from "./containerd-config.ts";
import { fsckCommand } from "./fsck.ts";
import { gcCommand } from "./gc.ts";
import { inventoryCommand } from "./inventory.ts";
import { rollbackCommand } from "./rollback.ts";
import { scrubCommand } from "./scrub.ts";
import { statusCommand } from "./status.ts";

/** Every subcommand of `slipway agent`, as --help shows them. */
export const COMMANDS: readonly Command[] = [
	statusCommand,
	fsckCommand,
	gcCommand,
	scrubCommand,
	inventoryCommand,
	rollbackCommand,
	containerdConfigCommand,
];
