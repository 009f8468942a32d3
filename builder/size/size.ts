import { rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { openRegular } from "../../bundle/read.ts";
import { findRelease } from "../boot/find-release.ts";
import type { CommandContext } from "../cli/command.ts";
import type { SizeOptions } from "../cli/size.ts";
import { readVolumeSize } from "../flash/iso-file.ts";
import { giveToCaller } from "../signing/caller.ts";
import { run } from "../tools/run.ts";
import { displayPath } from "../yaml/load.ts";
import { isoParts } from "./iso-parts.ts";
import { sizeTable } from "./table.ts";
import { treeMap } from "./tree-map.ts";

/**
 * `slipway size`: what the bytes of an ISO are for, as a table, as JSON, and as a tree map beside the ISO. Reads the ISO alone, so that
 * it works on any. Errors: E_USAGE (no such ISO), E_ISO, E_TRUNCATED, those of isoParts().
 */
export async function size(context: CommandContext, o: SizeOptions, [what]: string[]): Promise<void> {
	const iso = await isoOf(context.root, what, o.base);
	const file = await openRegular(iso);
	const parts = await readVolumeSize(file, basename(iso))
		.then(() => isoParts(run, iso, file))
		.finally(() => file.close());
	if (parts.bytes !== file.size) {
		throw new SlipwayError("E_INTERNAL", `The parts have ${parts.bytes} bytes, the ISO ${file.size}.`);
	}
	const svg = resolve(o.svg ?? `${iso.replace(/\.iso$/, "")}.size.svg`);
	await write(svg, treeMap(parts, basename(iso)));
	context.print(
		() =>
			[
				displayPath(iso),
				...sizeTable(parts, o.all === true),
				"Sums are exact. In the root image, ends of files share blocks, and in the initrd all files do: their shares are estimates.",
				`Tree map: ${displayPath(svg)}`,
				"",
			].join("\n"),
		() => ({ iso, size: file.size, svg, parts: parts.parts ?? [] }),
	);
}

/** The ISO of that path, or the newest one of a profile, or of all. */
async function isoOf(root: string, what: string | undefined, base: string | undefined): Promise<string> {
	if (what === undefined) return (await findRelease(join(root, "dist"), undefined, base)).iso;
	const isFile = (await stat(what).catch(() => undefined))?.isFile() === true;
	if (isFile && !/\.ya?ml$/.test(what)) return resolve(what);
	if (what.endsWith(".iso")) throw new SlipwayError("E_ISO", `There is no file ${what}.`);
	return (await findRelease(join(root, "dist"), what, base)).iso;
}

async function write(file: string, text: string): Promise<void> {
	const fresh = `${file}.${process.pid}.new`;
	try {
		await writeFile(fresh, text);
		await giveToCaller(fresh);
		await rename(fresh, file);
	} finally {
		await rm(fresh, { force: true });
	}
}
