import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import path from "node:path";

/**
 * What no linter knows: which rooms may import which, how long a file may be, that no package host is written down, and that
 * each YAML file names its schema. Prints every breach and exits 1 if there is one.
 */
const root = path.resolve(import.meta.dirname, "..");
const MAX_LINES = 300;
/** Rooms that a room must not import (DESIGN: builder and agent share no code but bundle). */
const WALLS: Record<string, readonly string[]> = {
	builder: ["agent", "test", "scripts"],
	agent: ["builder", "test", "scripts"],
	bundle: ["builder", "agent", "test", "scripts"],
};
/** Written in parts, because this file is checked too. */
const HOSTS = ["npmjs\\.(org|com)", "yarnpkg\\.com", "debian\\.(org|net)"].map(
	(host) => new RegExp(`[a-z0-9-]\\.${host}`, "i"),
);
const UBUNTU = /\b(archive|ports|security|esm|snapshot)\.ubuntu\.com/i;
const UBUNTU_BASE = /^profiles\/bases\/ubuntu-[^/]+\.yaml$/;

const breaches = tracked().flatMap((file) => {
	const text = readFileSync(path.join(root, file), "utf8");
	return [
		...hosts(file, text),
		...schemaLine(file, text),
		...(file.endsWith(".ts") ? [...length(file, text), ...walls(file, text)] : []),
	];
});
for (const breach of breaches) console.error(breach);
process.exitCode = breaches.length > 0 ? 1 : 0;

function tracked(): string[] {
	const args = ["-c", `safe.directory=${root}`, "ls-files", "-z"];
	const names = execFileSync("git", args, { cwd: root, encoding: "utf8" }).split("\0");
	return names.filter(
		(name) => name !== "" && existsSync(path.join(root, name)) && statSync(path.join(root, name)).isFile(),
	);
}

function length(file: string, text: string): string[] {
	const lines = text.split("\n").length - 1;
	return lines > MAX_LINES ? [`${file}: ${lines} lines; at most ${MAX_LINES}.`] : [];
}

function walls(file: string, text: string): string[] {
	const room = file.split("/")[0] as string;
	const imports = [...text.matchAll(/(?:from|import)\s*\(?\s*["'](\.[^"']+)["']/g)].map((m) => m[1] as string);
	return imports.flatMap((target) => {
		const other = path.posix.join(path.posix.dirname(file), target).split("/")[0] as string;
		// Tests may use the helpers in test/, and nothing else from beyond a wall.
		if (other === "test" && file.endsWith(".test.ts")) return [];
		return WALLS[room]?.includes(other) ? [`${file}: imports ${target}; ${room}/ must not know ${other}/.`] : [];
	});
}

function hosts(file: string, text: string): string[] {
	const found = [...HOSTS, ...(UBUNTU_BASE.test(file) ? [] : [UBUNTU])]
		.map((host) => host.exec(text)?.[0])
		.filter((hit) => hit !== undefined);
	return found.map((hit) => `${file}: names a package host (${hit}).`);
}

function schemaLine(file: string, text: string): string[] {
	if (!/^(profiles\/((parts|bases|bundles)\/)?[^/]+|overlays\/[^/]+\/overlay)\.yaml$/.test(file)) return [];
	if (file.endsWith(".lock.yaml")) return [];
	const schema = /^# yaml-language-server: \$schema=(\S+)$/.exec(text.split("\n")[0] as string)?.[1];
	if (schema === undefined) return [`${file}: the first line does not name its schema.`];
	return existsSync(path.join(root, path.dirname(file), schema)) ? [] : [`${file}: there is no ${schema}.`];
}
