import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { MUTANTS, mutate } from "./mutants/list.ts";
import type { Mutant } from "./mutants/mutant.ts";

/**
 * Takes each piece of safety away in a copy of the tree, runs the one test that is there for it, and writes docs/mutants.md.
 * Exits 1 if a test does not notice, fails without a mutant too, or a mutant no longer applies.
 *   node scripts/mutants.ts [WORD]   only those whose file, test or purpose has that word; the page is not written then
 */
const root = path.resolve(import.meta.dirname, "..");
const AT_ONCE = 2;
const LIMIT_MS = 10 * 60_000;

type Outcome = "red" | "green" | "broken";
interface Result {
	readonly mutant: Mutant;
	readonly verdict: "killed" | "SURVIVED" | "TEST FAILS ANYWAY" | "BROKEN";
}

const word = process.argv[2] ?? "";
const chosen = MUTANTS.filter((m) => `${m.file} ${m.test} ${m.guards}`.includes(word));
const copies = Array.from({ length: AT_ONCE }, copyTree);
process.on("exit", () => {
	for (const copy of copies) rmSync(copy, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130));

const plain = new Map<string, Promise<Outcome>>();
const results: Result[] = [];
const queue = chosen.map((mutant, i) => ({ mutant, i }));
await Promise.all(copies.map(work));
if (word === "") writeFileSync(path.join(root, "docs", "mutants.md"), page());
const survivors = results.filter((r) => r.verdict !== "killed");
console.log(`${results.length} mutants, ${results.length - survivors.length} killed`);
process.exitCode = survivors.length > 0 ? 1 : 0;

async function work(copy: string): Promise<void> {
	for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
		const { mutant, i } = next;
		const verdict = await judge(mutant, copy);
		results[i] = { mutant, verdict };
		console.log(`${verdict.padEnd(18)} ${mutant.file}: ${mutant.guards}`);
	}
}

async function judge(mutant: Mutant, copy: string): Promise<Result["verdict"]> {
	const file = path.join(copy, mutant.file);
	const text = readFileSync(file, "utf8");
	const key = `${mutant.test} ${mutant.name}`;
	if (!plain.has(key)) plain.set(key, run(mutant, copy));
	if ((await plain.get(key)) !== "green") return "TEST FAILS ANYWAY";
	writeFileSync(file, mutate(mutant, text));
	try {
		const outcome = await run(mutant, copy);
		return outcome === "red" ? "killed" : outcome === "green" ? "SURVIVED" : "BROKEN";
	} finally {
		writeFileSync(file, text);
	}
}

/** Runs the mutant's test; a run in which no test failed and no test passed proves nothing. */
async function run({ test, name }: Mutant, copy: string): Promise<Outcome> {
	const report = path.join(copy, "report.json");
	rmSync(report, { force: true });
	const filter = name === undefined ? [] : ["-t", name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("%s", ".*")];
	const args = ["node_modules/vitest/vitest.mjs", "run", test, ...filter, "--reporter=json", `--outputFile=${report}`];
	const child = spawn(process.execPath, args, {
		cwd: copy,
		stdio: "ignore",
		// Few power cuts suffice: without what they prove, every other one shows it.
		env: { ...process.env, CRASH_STATES: "200", CRASH_SEED: "1", CRASH_KEEP: "0" },
		timeout: LIMIT_MS,
		killSignal: "SIGKILL",
	});
	await new Promise((resolve) => child.once("exit", resolve));
	try {
		const { numFailedTests, numPassedTests } = JSON.parse(readFileSync(report, "utf8"));
		return numFailedTests > 0 ? "red" : numPassedTests > 0 ? "green" : "broken";
	} catch {
		return "broken";
	}
}

/** What is here, changes that are not committed too; nothing that git ignores. */
function copyTree(): string {
	const copy = mkdtempSync(path.join(tmpdir(), "slipway-mutants-"));
	const files = execFileSync(
		"git",
		["-c", `safe.directory=${root}`, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
		{ cwd: root },
	);
	execFileSync("sh", ["-c", 'tar c --null --ignore-failed-read -T - | tar x -C "$0"', copy], {
		cwd: root,
		input: files,
		stdio: ["pipe", "ignore", "ignore"],
	});
	for (const name of ["node_modules", ".tools"]) symlinkSync(path.join(root, name), path.join(copy, name));
	return copy;
}

function page(): string {
	const rows = results.map(({ mutant: m, verdict }) => {
		const test = m.name === undefined ? m.test : `${m.test}: ${m.name}`;
		return `| ${m.guards} | ${m.file} | ${test.replaceAll("|", "\\|")} | ${verdict} |`;
	});
	const killed = results.filter((r) => r.verdict === "killed").length;
	return `# Safety code, proved by removing it

\`make mutants\` takes each of these pieces away, runs the one test that is there for it, and writes this page. A test that stays
green is a defect. ${killed} of ${results.length} are noticed.

| What is taken away | In | Test | Verdict |
|---|---|---|---|
${rows.join("\n")}
`;
}
