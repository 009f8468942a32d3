import type { Stage } from "../plan/stage.ts";
import { agent } from "./agent.ts";
import { boot } from "./boot.ts";
import { bootstrap } from "./bootstrap.ts";
import { initrd } from "./initrd.ts";
import { iso } from "./iso.ts";
import { overlay } from "./overlay.ts";
import { root } from "./root.ts";

/** Every stage, in the order they run. */
export const STAGES = [bootstrap, overlay, agent, initrd, root, boot, iso] as readonly unknown[] as readonly Stage[];
