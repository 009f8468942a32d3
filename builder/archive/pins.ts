import { join } from "node:path";
import type { ArchiveResolve } from "./answer.ts";

/** Script of pinOptions(); with a workshop, its folder must be there too. */
export const pinsHook = join(import.meta.dirname, "pins-hook.sh");

/** Every package that a set may be installed from: `name=version`, and the file's SHA-256 where it is known. Pure. */
export function pinLines({ packages, boot, files }: ArchiveResolve): string[] {
	const lines = Object.entries({ ...boot, ...packages }).map(([name, version]) => {
		const digest = files?.[name]?.sha256;
		return digest === undefined ? `${name}=${version}` : `${name}=${version} ${digest}`;
	});
	return lines.sort();
}

/** Option for mmdebstrap with which apt takes these versions, wherever they come from; nothing is checked. */
export const PREFER_PINNED: string = `--setup-hook=${pinsHook}`;

/**
 * Options for mmdebstrap with which apt takes these versions and no others, and stops with `changed: …` lines before anything is
 * installed when the archive's index does not offer one of them with its digest; apt itself installs no file that its index does
 * not describe. How old the signed Release file is does not matter then. Pure.
 */
export function pinOptions(): string[] {
	return ['--aptopt=Acquire::Check-Valid-Until "false"', PREFER_PINNED, `--extract-hook=${pinsHook}`];
}

/** What the script takes. Pure. */
export function pinEnv(lines: readonly string[]): Record<string, string> {
	return { SLIPWAY_PINS: lines.join("\n") };
}
