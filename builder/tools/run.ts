import { appendFile, open } from "node:fs/promises";
import { basename } from "node:path";
import { execa } from "execa";
import { SlipwayError } from "../../bundle/errors.ts";
import { span } from "../trace/span.ts";
import { supervise } from "./process-group.ts";

export interface RunOptions {
	readonly cwd?: string;
	/** Added to a small fixed environment; the host's own variables are not passed on. */
	readonly env?: Record<string, string>;
	readonly input?: string | Uint8Array;
	/** File that gets standard output, byte for byte, instead of the result and the log. */
	readonly stdoutFile?: string;
	/** File that gets the command line and everything the program prints. */
	readonly log?: string;
	readonly signal?: AbortSignal;
	/** Milliseconds. */
	readonly timeout?: number;
	/** Exit codes that are not a failure; default [0]. */
	readonly accept?: readonly number[];
	/** Called with each line of standard error and output, for progress. */
	readonly onLine?: (line: string) => void;
	/** The program that `file` is only there to start: it is the one that messages and traces tell of. */
	readonly starts?: string;
	/** Strings that must appear in no log and no message. */
	readonly secrets?: readonly string[];
}

export interface RunResult {
	readonly stdout: string;
	readonly stderr: string;
	readonly exitCode: number;
}

/** `run`, or the same with a stage's log, signal and secrets filled in. */
export type Run = (file: string, args: readonly string[], options?: RunOptions) => Promise<RunResult>;

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const TAIL_LINES = 15;
/** Letters of a command line that a trace shows: some name a thousand packages. */
const MAX_TRACED = 400;

/**
 * Runs one external program: argv array, no shell, fixed locale, time zone and PATH, so that the result does not depend on
 * who calls. On abort the program and all it started get SIGTERM, so that mounts are released, and SIGKILL ten seconds later.
 * Errors: E_TOOL_MISSING, E_INTERRUPTED, E_NO_SPACE, E_TOOL_FAILED (both with the program's last lines).
 */
export function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
	const command = commandLine(file, args, hider(options));
	const shown = command.length > MAX_TRACED ? `${command.slice(0, MAX_TRACED)} …` : command;
	return span({ track: "programs", name: basename(options.starts ?? file), args: { command: shown } }, () =>
		runProgram(file, args, options),
	);
}

async function runProgram(file: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
	const hide = hider(options);
	if (options.signal?.aborted) throw new SlipwayError("E_INTERRUPTED", "Interrupted.");
	const note = async (text: string) => {
		if (options.log !== undefined) await appendFile(options.log, hide(text));
	};
	await note(`$ ${commandLine(file, args, hide)}\n`);
	// A descriptor goes to the program as it is; anything else would take the bytes through this process.
	const output = options.stdoutFile === undefined ? undefined : await open(options.stdoutFile, "w");
	const child = execa(file, args, {
		reject: false,
		extendEnv: false,
		env: { PATH, LC_ALL: "C.UTF-8", TZ: "UTC", HOME: "/root", ...options.env },
		stdin: options.input === undefined ? "ignore" : "pipe",
		all: true,
		stripFinalNewline: true,
		// A group of its own, so that all of it can be ended, and Ctrl-C reaches it through the abort signal alone.
		detached: true,
		cleanup: false,
		...(options.input === undefined ? {} : { input: options.input }),
		...(output === undefined ? {} : { stdout: output.createWriteStream({ autoClose: false }) }),
		...(options.cwd === undefined ? {} : { cwd: options.cwd }),
	});
	const group = child.pid === undefined ? undefined : supervise(child.pid, options.signal, options.timeout);
	let logged = Promise.resolve();
	const reader = (async () => {
		for await (const line of child.iterable({ from: "all", preserveNewlines: false })) {
			options.onLine?.(line);
			logged = logged.then(() => note(`${line}\n`));
		}
	})().catch(() => undefined); // the failure itself is told by the result below
	const result = await child;
	group?.end();
	await output?.close();
	await reader;
	await logged;
	if (group?.stopped === "abort") throw new SlipwayError("E_INTERRUPTED", `${options.starts ?? file} was stopped.`);
	const name = options.starts ?? file;
	const missing = (what: string) =>
		new SlipwayError("E_TOOL_MISSING", `The program ${what} is not installed.`, { cause: result });
	if (result.code === "ENOENT") throw missing(file);
	const exitCode = result.exitCode ?? 255;
	if (!(options.accept ?? [0]).includes(exitCode)) {
		const tail = hide(String(result.all ?? ""))
			.split("\n")
			.slice(-TAIL_LINES)
			.join("\n");
		if (exitCode === 127 && tail.endsWith(`exec: ${name}: not found`)) throw missing(name);
		if (/No space left on device/.test(tail)) throw new SlipwayError("E_NO_SPACE", `The disk became full:\n${tail}`);
		const how = group?.stopped === "timeout" ? "took too long" : `failed (${result.signal ?? `exit code ${exitCode}`})`;
		throw new SlipwayError("E_TOOL_FAILED", `${name} ${how}:\n${tail}`);
	}
	return { stdout: String(result.stdout ?? ""), stderr: String(result.stderr ?? ""), exitCode };
}

/** Takes the secrets out of a text. */
function hider({ secrets = [] }: RunOptions): (text: string) => string {
	return (text) => secrets.reduce((t, s) => (s === "" ? t : t.replaceAll(s, "***")), text);
}

/** Hidden before it is quoted: a quoted secret may look different. */
function commandLine(file: string, args: readonly string[], hide: (text: string) => string): string {
	return [file, ...args].map((word) => quote(hide(word))).join(" ");
}

/** For logs only: nothing is ever run from this text. */
function quote(word: string): string {
	return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
