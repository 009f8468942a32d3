import type { Run, RunOptions } from "./run.ts";

/** Control fields of a binary package file (`dpkg-deb --field`), continuation lines joined by newlines. */
export async function debFields(run: Run, deb: string, options: RunOptions = {}): Promise<Record<string, string>> {
	const { stdout } = await run("dpkg-deb", ["--field", deb], options);
	return parseStanza(stdout);
}

/** Writes the package's files as a plain tar, without running or unpacking anything. */
export async function debToTar(run: Run, deb: string, tar: string, options: RunOptions = {}): Promise<void> {
	await run("dpkg-deb", ["--fsys-tarfile", deb], { ...options, stdoutFile: tar });
}

/** One stanza of Debian's control format (deb822). */
export function parseStanza(text: string): Record<string, string> {
	const fields: Record<string, string> = {};
	let last = "";
	for (const line of text.split("\n")) {
		const match = /^([!-9;-~]+):\s*(.*)$/.exec(line);
		if (match !== null) {
			last = match[1]!;
			fields[last] = match[2]!;
		} else if (/^[ \t]/.test(line) && last !== "") fields[last] += `\n${line}`;
	}
	return fields;
}

/** Order of two versions as dpkg has it: below zero when `a` is older. */
export async function compareVersions(run: Run, a: string, b: string): Promise<number> {
	const is = async (relation: string) =>
		(await run("dpkg", ["--compare-versions", a, relation, b], { accept: [0, 1] })).exitCode === 0;
	if (await is("lt")) return -1;
	return (await is("gt")) ? 1 : 0;
}
