import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { projectRoot } from "../../builder/cli/command.ts";
import { mmdebstrap } from "../../builder/tools/mmdebstrap.ts";
import { run } from "../../builder/tools/run.ts";
import { debianArchive } from "./debian-archive.ts";

export interface DebSets {
	/** Taken with the essential packages and everything they depend on. */
	readonly root: readonly string[];
	/** Taken with everything they depend on. */
	readonly content: readonly string[];
	/** Taken alone. */
	readonly alone: readonly string[];
}

/**
 * A folder with Debian 13's packages for these sets, fetched once and kept in `.cache/` by what was asked for.
 * Errors: those of mmdebstrap.
 */
export async function debianDebs(sets: DebSets): Promise<string> {
	const id = createHash("sha256").update(JSON.stringify(sets)).digest("hex").slice(0, 16);
	const folder = join(projectRoot, ".cache", "stand-in", `debs-${id}`);
	if (await stat(folder).catch(() => undefined)) return folder;
	await mkdir(dirname(folder), { recursive: true });
	const work = await mkdtemp(join(dirname(folder), "debs-"));
	try {
		const request = {
			...(await debianArchive()),
			...({ variant: "custom", include: [], target: "/dev/null" } as const),
			options: [`--customize-hook=${join(import.meta.dirname, "archive-debs.sh")}`],
		};
		const env = {
			STANDIN_OUT: work,
			STANDIN_ROOT: sets.root.join(" "),
			STANDIN_CONTENT: sets.content.join(" "),
			STANDIN_ALONE: sets.alone.join(" "),
		};
		await mmdebstrap(run, request, 0, { env });
		await rename(work, folder);
	} finally {
		await rm(work, { recursive: true, force: true });
	}
	return folder;
}

export interface SmallDeb {
	readonly name: string;
	readonly version: string;
	readonly depends?: readonly string[];
	/** Path in the package → its text, or where to copy it from. */
	readonly files?: Readonly<Record<string, string | { readonly from: string; readonly mode?: number }>>;
}

/** Makes a package of our own in `folder`; the same bytes each time. Gives its path. */
export async function makeDeb(folder: string, deb: SmallDeb): Promise<string> {
	const work = await mkdtemp(join(folder, ".deb-"));
	try {
		for (const [path, content] of Object.entries(deb.files ?? {})) {
			const target = join(work, path);
			await mkdir(dirname(target), { recursive: true });
			// A text is a script: the stand-ins have no other.
			if (typeof content === "string") await writeFile(target, content, { mode: 0o755 });
			else await cp(content.from, target);
		}
		const control = [
			`Package: ${deb.name}`,
			`Version: ${deb.version}`,
			"Architecture: amd64",
			"Maintainer: Slipway tests <tests@slipway.invalid>",
			...(deb.depends === undefined || deb.depends.length === 0 ? [] : [`Depends: ${deb.depends.join(", ")}`]),
			"Description: stands for the distribution's package of this name",
			"",
		];
		await mkdir(join(work, "DEBIAN"), { mode: 0o755 });
		await writeFile(join(work, "DEBIAN/control"), control.join("\n"));
		const file = join(folder, `${deb.name}_${deb.version.replaceAll(":", "%3a")}_amd64.deb`);
		await run("dpkg-deb", ["--root-owner-group", "-Zgzip", "--build", work, file], {
			env: { SOURCE_DATE_EPOCH: "1700000000" },
		});
		return file;
	} finally {
		await rm(work, { recursive: true, force: true });
	}
}
