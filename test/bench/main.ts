/**
 * `make bench`: the figures that the project promises, each as a ratio against something run beside it in the same run, so
 * that a slow or a busy machine does not change the verdict. Writes docs/performance.md. Needs root, as builds do.
 */

import { writeFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { giveToCaller } from "../../builder/signing/caller.ts";
import { bundleBuild } from "./bundle-build.ts";
import { verifyAndLoad } from "./load.ts";
import { contentRebuild, noChangeRebuild } from "./rebuild.ts";
import { serveBlobs } from "./serve.ts";

export interface Figure {
	readonly name: string;
	/** What was measured, in the figure's own unit. */
	readonly ours: string;
	/** What it is held against, measured in the same run. */
	readonly beside: string;
	readonly value: number;
	/** The largest value that keeps the promise. */
	readonly limit: number;
	readonly unit: "times" | "s" | "MiB";
}

const root = join(import.meta.dirname, "..", "..");

const cases: Record<string, (root: string) => Promise<Figure[]>> = {
	"no-change": noChangeRebuild,
	content: contentRebuild,
	bundle: bundleBuild,
	load: verifyAndLoad,
	serve: serveBlobs,
};

const wanted = process.argv.slice(2);
const figures: Figure[] = [];
for (const [name, run] of Object.entries(cases)) {
	if (wanted.length > 0 && !wanted.includes(name)) continue;
	process.stderr.write(`bench: ${name}\n`);
	figures.push(...(await run(root)));
}
const table = render(figures);
process.stdout.write(`${table}\n`);
// A partial run is for looking; only a whole one is a record.
if (wanted.length === 0) {
	const file = join(root, "docs", "performance.md");
	await writeFile(file, page(table));
	await giveToCaller(file);
}
if (figures.some((f) => f.value > f.limit)) process.exitCode = 1;

function render(rows: readonly Figure[]): string {
	const lines = rows.map((f) => {
		const unit = f.unit === "times" ? "×" : ` ${f.unit}`;
		const verdict = f.value <= f.limit ? "kept" : "**missed**";
		return `| ${f.name} | ${f.ours} | ${f.beside} | ${f.value.toFixed(2)}${unit} | ${f.limit}${unit} | ${verdict} |`;
	});
	return ["| figure | measured | beside it | value | promise | |", "|---|---|---|---|---|---|", ...lines].join("\n");
}

function page(table: string): string {
	const cpu = cpus();
	const machine = `${cpu.length} × ${cpu[0]?.model ?? "unknown CPU"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
	return `# Performance

Written by \`make bench\`; do not edit. Every figure is the median of three, as a ratio against something measured in the same
run: \`cp\` means \`cp\` followed by \`sync\`, \`dgst\` means \`openssl dgst -sha256\` of the same bytes.

Machine: ${machine}.

${table}
`;
}
