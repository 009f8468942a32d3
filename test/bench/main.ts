/**
 * `make bench`: the figures that the project promises, each as a ratio against something run beside it in the same run, so
 * that a slow or a busy machine does not change the verdict. Writes docs/performance.md, a part for each case that was run; the
 * parts of the others stay as they are. Needs root, as builds do.
 */

import { join } from "node:path";
import { bootTime } from "./boot-time.ts";
import { bundleBuild } from "./bundle-build.ts";
import { coldBuild } from "./cold-build.ts";
import { foreignBuild } from "./foreign-build.ts";
import { largeInPlace } from "./in-place.ts";
import { verifyAndLoad } from "./load.ts";
import { isKept, record, render } from "./page.ts";
import { contentRebuild, noChangeRebuild } from "./rebuild.ts";
import { serveBlobs } from "./serve.ts";

export interface Figure {
	readonly name: string;
	/** What was measured, in the figure's own unit. */
	readonly ours: string;
	/** What it is held against, measured in the same run. */
	readonly beside: string;
	readonly value: number;
	/** The largest value that keeps the promise; the smallest, with `atLeast`. */
	readonly limit: number;
	readonly atLeast?: boolean;
	readonly unit: "times" | "s" | "ms" | "MiB" | "files";
}

const root = join(import.meta.dirname, "..", "..");

const cases: Record<string, (root: string) => Promise<Figure[]>> = {
	"no-change": noChangeRebuild,
	content: contentRebuild,
	"cold-build": coldBuild,
	"foreign-build": foreignBuild,
	boot: bootTime,
	bundle: bundleBuild,
	load: verifyAndLoad,
	"in-place": largeInPlace,
	serve: serveBlobs,
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in cases));
if (unknown.length > 0) throw new Error(`No case ${unknown.join(", ")}; there are ${Object.keys(cases).join(", ")}.`);
for (const [name, run] of Object.entries(cases)) {
	if (wanted.length > 0 && !wanted.includes(name)) continue;
	process.stderr.write(`bench: ${name}\n`);
	const figures = await run(root);
	process.stdout.write(`${render(figures)}\n`);
	await record(join(root, "docs", "performance.md"), Object.keys(cases), name, figures);
	if (!figures.every(isKept)) process.exitCode = 1;
}
