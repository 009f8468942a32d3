import { SlipwayError } from "../../bundle/errors.ts";

/** Where a target registry is, and below which path our names go. */
export interface TargetAddress {
	/** Scheme, host and port. */
	readonly origin: string;
	/** As in the keys of a credentials file. */
	readonly host: string;
	/** Path that every repository name begins with; may be empty. */
	readonly prefix: string;
}

const COMPONENT = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const PATH = new RegExp(`^(?:${COMPONENT}(?:/${COMPONENT})*)?$`);
/** What registries allow of a repository's whole name. */
const MAX_NAME = 255;

/**
 * Reads `registry.target`: `https://host[:port][/path]`, or http, which is used only when it stands there. Errors: E_CONFIG
 * for anything else in it, above all a password, which would end in logs.
 */
export function parseTarget(text: string): TargetAddress {
	const url = URL.canParse(text) ? new URL(text) : undefined;
	const prefix = url?.pathname.replace(/^\/|\/$/g, "") ?? "";
	const plain = url?.username === "" && url.password === "" && url.search === "" && url.hash === "";
	if (url === undefined || !["https:", "http:"].includes(url.protocol) || !plain || !PATH.test(prefix)) {
		throw new SlipwayError(
			"E_CONFIG",
			"registry.target is not `https://host[:port][/path]` with a path in lower case.",
			{
				next: "Correct it; credentials belong into the file that `registry.credentials` names.",
			},
		);
	}
	return { origin: url.origin, host: url.host, prefix };
}

/**
 * The target's name for each of ours: the path of the address, then the whole original name. The colon of a port in the
 * original host becomes `__`, which no host has, so that two names never become one.
 * Errors: E_TARGET_NAME for one that is too long, or two that become one all the same.
 */
export function targetNames({ prefix }: TargetAddress, names: Iterable<string>): Map<string, string> {
	const mapped = new Map<string, string>();
	const taken = new Map<string, string>();
	for (const name of names) {
		const [host = "", ...path] = name.split("/");
		const target = [...(prefix === "" ? [] : [prefix]), host.replace(":", "__"), ...path].join("/");
		const other = taken.get(target);
		if (other !== undefined) throw new SlipwayError("E_TARGET_NAME", `${other} and ${name} both become ${target}.`);
		if (target.length > MAX_NAME || !PATH.test(target)) {
			throw new SlipwayError("E_TARGET_NAME", `${name} would become ${target}, which no registry takes.`);
		}
		taken.set(target, name);
		mapped.set(name, target);
	}
	return mapped;
}
