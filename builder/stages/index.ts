import type { Stage } from "../plan/stage.ts";
import { agent } from "./agent.ts";
import { attest } from "./attest.ts";
import { boot } from "./boot.ts";
import { bootstrap } from "./bootstrap.ts";
import { content } from "./content.ts";
import { initrd } from "./initrd.ts";
import { iso } from "./iso.ts";
import { overlay } from "./overlay.ts";
import { root } from "./root.ts";
import { workshop } from "./workshop.ts";

/** Every stage, in the order they run. Each checks its own options, so a list of them need not know their types. */
export const STAGES = [
	workshop,
	bootstrap,
	overlay,
	agent,
	initrd,
	root,
	content,
	boot,
	iso,
	attest,
] as readonly unknown[] as readonly Stage[];
