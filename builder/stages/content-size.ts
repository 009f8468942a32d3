import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { definitionSources } from "../packs/definition.ts";
import type { Build } from "../plan/build.ts";

/** Size of the local files that a build's bundles are made from, in bytes. What is not there counts nothing: validation tells it. */
export function localContentBytes(build: Build): number {
	return build.bundles.flatMap(definitionSources).reduce((sum, file) => sum + bytesOf(file), 0);
}

function bytesOf(file: string): number {
	const stat = lstatSync(file, { throwIfNoEntry: false });
	if (stat === undefined) return 0;
	if (!stat.isDirectory()) return stat.size;
	return readdirSync(file).reduce((sum, name) => sum + bytesOf(join(file, name)), 0);
}
