import { createHash } from "node:crypto";
import { chmod, link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { parseStanza } from "../../builder/tools/dpkg.ts";
import { run } from "../../builder/tools/run.ts";

/** A package file in an archive, with its stanza of the index. */
export interface Pooled {
	readonly component: "main" | "universe";
	readonly file: string;
	readonly name: string;
	readonly stanza: string;
}

export interface Suite {
	/** As on the mirror, with the pocket: `noble-updates`. */
	readonly suite: string;
	readonly codename: string;
	readonly packages: readonly Pooled[];
	/** RFC 2822, in the signed Release file. */
	readonly validUntil?: string;
}

export interface ArchiveKey {
	/** For KEYRING=. */
	readonly keyring: string;
	clearsign(file: string, output: string): Promise<void>;
}

const DATE = "Sat, 06 Sep 2025 10:00:00 UTC";
const COMPONENTS = ["main", "universe"] as const;

/** A new signing key in a home of its own under `folder`. `close` ends the key's agent. */
export async function archiveKey(folder: string): Promise<ArchiveKey & { close(): Promise<void> }> {
	const home = join(folder, "gnupg");
	const keyring = join(folder, "keyring.gpg");
	await mkdir(home, { recursive: true, mode: 0o700 });
	const gpg = (...args: string[]) =>
		run("gpg", ["--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", ...args]);
	await gpg("--quick-generate-key", "Stand-in archive <archive@slipway.invalid>", "rsa3072", "sign", "never");
	await gpg("--output", keyring, "--export");
	// apt reads it as a user of its own.
	await chmod(folder, 0o755);
	return {
		keyring,
		clearsign: async (file, output) => {
			await gpg("--yes", "--digest-algo", "SHA512", "--output", output, "--clearsign", file);
		},
		close: async () => {
			await run("gpgconf", ["--homedir", home, "--kill", "all"]);
		},
	};
}

/** Reads a package's stanza, with the lines that an index adds. */
export async function pooled(file: string, component: Pooled["component"] = "main"): Promise<Pooled> {
	const control = (await run("dpkg-deb", ["--field", file])).stdout.trim();
	const bytes = await readFile(file);
	const name = parseStanza(control).Package!;
	const digest = createHash("sha256").update(bytes).digest("hex");
	const lines = [control, `Filename: ${poolPath(component, name, file)}`, `Size: ${bytes.length}`, `SHA256: ${digest}`];
	return { component, file, name, stanza: `${lines.join("\n")}\n` };
}

function poolPath(component: string, name: string, file: string): string {
	return `pool/${component}/${name.slice(0, name.startsWith("lib") ? 4 : 1)}/${name}/${basename(file)}`;
}

/** Writes the suites, as an Ubuntu mirror has them, with signed `InRelease` files; what was in their place goes. */
export async function writeArchive(folder: string, suites: readonly Suite[], key: ArchiveKey): Promise<void> {
	await rm(folder, { recursive: true, force: true });
	for (const suite of suites) {
		for (const { component, name, file } of suite.packages) {
			const target = join(folder, poolPath(component, name, file));
			await mkdir(dirname(target), { recursive: true });
			await link(file, target).catch(unlessThere);
		}
		await writeSuite(join(folder, "dists", suite.suite), suite, key);
	}
}

async function writeSuite(folder: string, suite: Suite, key: ArchiveKey): Promise<void> {
	const sums: string[] = [];
	for (const component of COMPONENTS) {
		const mine = suite.packages.filter((p) => p.component === component).sort((a, b) => (a.name < b.name ? -1 : 1));
		const index = Buffer.from(mine.map((p) => `${p.stanza}\n`).join(""));
		const path = `${component}/binary-amd64`;
		await mkdir(join(folder, path), { recursive: true });
		const zipped = gzipSync(index);
		await writeFile(join(folder, path, "Packages.gz"), zipped);
		sums.push(sumLine(`${path}/Packages`, index), sumLine(`${path}/Packages.gz`, zipped));
	}
	const release = [
		"Origin: Ubuntu",
		"Label: Ubuntu",
		`Suite: ${suite.suite}`,
		// Ubuntu's pockets all carry the release's own code name.
		`Codename: ${suite.codename}`,
		`Date: ${DATE}`,
		...(suite.validUntil === undefined ? [] : [`Valid-Until: ${suite.validUntil}`]),
		"Architectures: amd64",
		`Components: ${COMPONENTS.join(" ")}`,
		"SHA256:",
		...sums,
		"",
	];
	await writeFile(join(folder, "Release"), release.join("\n"));
	await key.clearsign(join(folder, "Release"), join(folder, "InRelease"));
}

function sumLine(path: string, bytes: Buffer): string {
	return ` ${createHash("sha256").update(bytes).digest("hex")} ${bytes.length} ${path}`;
}

function unlessThere(error: NodeJS.ErrnoException): void {
	if (error.code !== "EEXIST") throw error;
}
