import { readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { cpus, loadavg, totalmem } from "node:os";
import { giveToCaller } from "../../builder/signing/caller.ts";
import type { Figure } from "./main.ts";

const HEAD = `# Performance

Written by \`make bench\`; do not edit. Every figure is the median of three unless it says otherwise, as a ratio against something
measured in the same run: \`cp\` means \`cp\` followed by \`sync\`, \`dgst\` means \`openssl dgst -sha256\` of the same bytes. Each part
names its command and the machine; programs that ran beside it show in the machine's load.
`;

export function isKept({ value, limit, atLeast }: Figure): boolean {
	return atLeast === true ? value >= limit : value <= limit;
}

export function render(rows: readonly Figure[]): string {
	const lines = rows.map((f) => {
		const words = (value: string) => (f.unit === "times" ? `${value}×` : `${value} ${f.unit}`);
		const value = words(f.unit === "files" ? String(f.value) : f.value.toFixed(2));
		const promise = words(`${f.atLeast === true ? "≥" : "≤"} ${f.limit}`);
		return `| ${f.name} | ${f.ours} | ${f.beside} | ${value} | ${promise} | ${isKept(f) ? "kept" : "**missed**"} |`;
	});
	return ["| figure | measured | beside it | value | promise | |", "|---|---|---|---|---|---|", ...lines].join("\n");
}

/** Puts a case's figures into the page, in the order of the cases; what others have written there stays. */
export async function record(
	file: string,
	order: readonly string[],
	name: string,
	rows: readonly Figure[],
): Promise<void> {
	const parts = new Map<string, string>();
	const old = await readFile(file, "utf8").catch(() => "");
	for (const part of old.split("\n## ").slice(1)) {
		const end = part.indexOf("\n");
		parts.set(part.slice(0, end), part.slice(end).trim());
	}
	parts.set(name, `\`node test/bench/main.ts ${name}\` on ${machine()}.\n\n${render(rows)}`);
	const known = order.filter((part) => parts.has(part));
	await writeFile(file, `${HEAD}${known.map((part) => `\n## ${part}\n\n${parts.get(part)}\n`).join("")}`);
	await giveToCaller(file);
}

function machine(): string {
	const cpu = cpus();
	const memory = Math.round(totalmem() / 2 ** 30);
	const load = (loadavg()[0] ?? 0).toFixed(1);
	const nice = Number(/nice (-?\d+)/.exec(readFileSync("/proc/self/autogroup", "utf8"))?.[1] ?? 0);
	const priority = nice === 0 ? "" : `, at priority ${nice} (autogroup)`;
	return `${cpu.length} × ${cpu[0]?.model ?? "unknown CPU"}, ${memory} GiB, Node ${process.version}, load ${load} at the end${priority}`;
}
