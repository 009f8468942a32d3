import { SlipwayError } from "../../../bundle/errors.ts";
import type { Deb } from "./archive.ts";

/**
 * Packages that others depend on for their maintainer scripts only. Nothing runs those scripts in an image, so these stay
 * out unless a definition keeps them.
 */
const SCRIPT_TOOLS = new Set([
	"adduser",
	"cdebconf",
	"debconf",
	"init-system-helpers",
	"install-info",
	"lsb-base",
	"systemd",
	"ucf",
]);

export interface ClosureRequest {
	/** Packages whose files must be in the image. */
	readonly packages: readonly string[];
	readonly keep: readonly string[];
	readonly drop: readonly string[];
}

/**
 * Packages whose files an image holds, sorted: those asked for and what they depend on (Depends and Pre-Depends), without
 * essential and required packages that are no library (a system has them, a container does not need them), without tools of
 * maintainer scripts, and without what the definition drops. Errors: E_PACK.
 */
export function closure(debs: readonly Deb[], request: ClosureRequest): Deb[] {
	const offered = providers(debs);
	const wanted = new Set([...request.packages, ...request.keep]);
	const dropped = new Set(request.drop);
	for (const name of dropped) {
		if (wanted.has(name)) throw new SlipwayError("E_PACK", `The package ${name} is both asked for and dropped.`);
		if (!offered.has(name))
			throw new SlipwayError("E_PACK", `The package ${name} is dropped, but nothing here depends on it.`);
	}
	const chosen = new Map<string, Deb>();
	const add = (deb: Deb) => {
		if (chosen.has(deb.name)) return;
		chosen.set(deb.name, deb);
		for (const needed of dependencies(deb, offered)) {
			if (wanted.has(needed.name) || !(dropped.has(needed.name) || isSystemTool(needed))) add(needed);
		}
	};
	for (const name of [...wanted].sort()) {
		const deb = offered.get(name)?.[0];
		if (deb === undefined) throw new SlipwayError("E_PACK", `The package ${name} was not downloaded.`);
		// The files of base-files are wanted, not the awk that its script runs.
		if (name === "base-files") chosen.set(name, deb);
		else add(deb);
	}
	return [...chosen.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The packages of `debs` that one depends on directly; of alternatives, the first that is there. */
export function dependencies(deb: Deb, offered: ReadonlyMap<string, readonly Deb[]>): Deb[] {
	const fields = [deb.fields["Pre-Depends"], deb.fields.Depends].filter((field) => field !== undefined);
	const groups = fields.flatMap((field) => field.split(",")).map((group) => group.split("|").map(packageOf));
	return groups.flatMap((names) => {
		const found = names.flatMap((name) => offered.get(name) ?? []);
		return found.slice(0, 1);
	});
}

/** Packages by name, real ones before those that only provide it. */
export function providers(debs: readonly Deb[]): Map<string, Deb[]> {
	const map = new Map<string, Deb[]>(debs.map((deb) => [deb.name, [deb]]));
	for (const deb of debs) {
		for (const name of (deb.fields.Provides ?? "").split(",").map(packageOf).filter(Boolean)) {
			map.set(name, [...(map.get(name) ?? []), deb]);
		}
	}
	return map;
}

function isSystemTool({ name, fields }: Deb): boolean {
	if (SCRIPT_TOOLS.has(name) || fields.Essential === "yes") return true;
	return fields.Priority === "required" && fields.Section?.replace(/^.*\//, "") !== "libs";
}

/** `libc6 (>= 2.34)`, `python3:any` → the name. */
function packageOf(term: string): string {
	return /^\s*([a-z0-9][a-z0-9+.-]*)/.exec(term)?.[1] ?? "";
}
