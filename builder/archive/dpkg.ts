import { SlipwayError } from "../../bundle/errors.ts";
import { parseStanza } from "../tools/dpkg.ts";

/** Name and version of every package that a dpkg status file calls installed, sorted by name. */
export function installedPackages(status: string): Record<string, string> {
	const found: [string, string][] = [];
	for (const stanza of status.split(/\n\n+/).map(parseStanza)) {
		if (stanza.Package !== undefined && stanza.Status === "install ok installed") {
			found.push([stanza.Package, stanza.Version ?? ""]);
		}
	}
	return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Errors: E_ARCHIVE_CHANGED, with the differences, when what was installed is not what was resolved. */
export function checkInstalled(installed: Record<string, string>, resolved: Record<string, string>): void {
	const names = [...new Set([...Object.keys(installed), ...Object.keys(resolved)])].sort();
	const differs = names.filter((name) => installed[name] !== resolved[name]);
	if (differs.length === 0) return;
	const lines = differs.map((name) => `${name} ${resolved[name] ?? "(none)"} became ${installed[name] ?? "(none)"}`);
	throw new SlipwayError(
		"E_ARCHIVE_CHANGED",
		`The archive changed since it was resolved: ${lines.slice(0, 8).join("; ")}.`,
	);
}

/** Errors: E_ARCHIVE_CHANGED when a package that was asked for by name is not there. */
export function checkPresent(installed: Record<string, string>, names: readonly string[]): void {
	const missing = names.filter((name) => installed[name] === undefined);
	if (missing.length === 0) return;
	throw new SlipwayError("E_ARCHIVE_CHANGED", `The archive did not give ${missing.join(", ")}.`);
}
