import { SlipwayError } from "../../bundle/errors.ts";
import { refuseUserInfo } from "./address.ts";
import type { Run, RunOptions } from "./run.ts";

export interface Mmdebstrap {
	readonly suite: string;
	readonly arch: "amd64" | "arm64";
	/** `custom` installs nothing of itself, `essential` the packages marked so; neither brings apt. */
	/** `chrootless`: maintainer scripts run outside of the root, with its path in DPKG_ROOT; default: inside. */
	readonly mode?: "chrootless";
	readonly variant: "custom" | "essential" | "extract" | "apt" | "minbase";
	readonly include: readonly string[];
	/** `deb` lines (aptSources); empty: mmdebstrap's default for the suite, with these components. */
	readonly sources: readonly string[];
	readonly components?: readonly string[];
	readonly keyring: string;
	/** Output: a `.tar` file, a folder, or /dev/null. */
	readonly target: string;
	/** Further options, such as hooks. */
	readonly options?: readonly string[];
}

/** What no appliance or image needs: documentation and translations. Copyright files stay, because licences ask for it. */
const EXCLUDES = [
	"/usr/share/doc/*",
	"/usr/share/man/*",
	"/usr/share/info/*",
	"/usr/share/locale/*",
	"/usr/share/lintian/*",
];
const APT = [
	'APT::Install-Recommends "false"',
	// Unreachable must be told in seconds.
	'Acquire::http::Timeout "15"',
	'Acquire::https::Timeout "15"',
	'Acquire::Retries "1"',
];

/** The command line, in one place so that plans and tests can print it. Pure. */
export function mmdebstrapArgs(o: Mmdebstrap): string[] {
	return [
		...(o.mode === undefined ? [] : [`--mode=${o.mode}`]),
		`--variant=${o.variant}`,
		`--architectures=${o.arch}`,
		`--keyring=${o.keyring}`,
		...(o.sources.length === 0 && o.components !== undefined ? [`--components=${o.components.join(",")}`] : []),
		// apt and dpkg say what they do: progress counts it, and a failure shows its reason.
		"--verbose",
		...(o.include.length === 0 ? [] : [`--include=${o.include.join(",")}`]),
		...APT.map((line) => `--aptopt=${line}`),
		// A root that is half made when the power goes is made anew.
		"--dpkgopt=force-unsafe-io",
		...EXCLUDES.map((path) => `--dpkgopt=path-exclude=${path}`),
		"--dpkgopt=path-include=/usr/share/doc/*/copyright",
		...(o.options ?? []),
		o.suite,
		o.target,
		...o.sources,
	];
}

/**
 * Runs mmdebstrap, through the HTTP proxy that APT_PROXY names if it is set; `epoch` is the newest time a file may carry. Errors: E_ARCHIVE_UNREACHABLE, E_KEYRING, E_ARCHIVE_CHANGED,
 * E_PRO_TOKEN (refused), E_ARCHIVE_EXPIRED, E_DIGEST_MISMATCH, E_PROFILE_VALUE (no such package), E_USAGE for a proxy with a password, else E_TOOL_FAILED.
 */
export async function mmdebstrap(run: Run, o: Mmdebstrap, epoch: number, options: RunOptions = {}): Promise<void> {
	// INITRD=No reaches the maintainer scripts: the initrd is made once, by its own stage.
	// In the environment, and not an option of apt's, because it must leave no trace in the root.
	const proxy = process.env.APT_PROXY || undefined;
	if (proxy !== undefined) refuseUserInfo(proxy, "APT_PROXY=");
	const proxies = proxy === undefined ? {} : { http_proxy: proxy, https_proxy: proxy };
	const env = {
		...options.env,
		...proxies,
		SOURCE_DATE_EPOCH: String(epoch),
		INITRD: "No",
		DEBIAN_FRONTEND: "noninteractive",
	};
	const seen: string[] = [];
	const onLine = (line: string) => {
		seen.push(line);
		options.onLine?.(line);
	};
	try {
		await run("mmdebstrap", mmdebstrapArgs(o), { ...options, env, onLine });
	} catch (error) {
		throw explain(error, seen, o);
	}
}

/** Packages that were asked for by name, and the archive does not have for this architecture. */
export class MissingPackages extends SlipwayError {
	readonly names: readonly string[];
	readonly suite: string;
	readonly arch: string;

	constructor(names: readonly string[], { suite, arch }: Pick<Mmdebstrap, "suite" | "arch">) {
		super("E_PROFILE_VALUE", `The archive of ${suite} has no package ${names.join(", ")} for ${arch}.`);
		this.names = names;
		this.suite = suite;
		this.arch = arch;
	}
}

/** Packages that the archive no longer offers with the version and digest that were recorded. */
export class ChangedPackages extends SlipwayError {
	readonly names: readonly string[];

	constructor(pins: readonly string[], suite: string) {
		super(
			"E_ARCHIVE_CHANGED",
			`The archive of ${suite} no longer offers, with the recorded digest: ${pins.join(", ")}.`,
		);
		this.names = pins.map((pin) => pin.slice(0, pin.indexOf("=")));
	}
}

/** A package that the archive sends with other bytes than its signed index says. */
export class DamagedPackage extends SlipwayError {
	constructor(message: string) {
		super("E_DIGEST_MISMATCH", message, { next: "Bring the mirror up to date, or use another one." });
	}
}

/** Ubuntu Pro's own word on a token. */
export class RefusedToken extends SlipwayError {
	constructor(message: string) {
		super("E_PRO_TOKEN", message, {
			next: "See that PRO_TOKEN_FILE= holds the token of a subscription that is valid.",
		});
	}
}

/** Tells the user's errors from real failures by what apt said. */
function explain(error: unknown, lines: readonly string[], o: Mmdebstrap): unknown {
	if (!(error instanceof SlipwayError) || error.code !== "E_TOOL_FAILED") return error;
	const first = (pattern: RegExp) => lines.find((line) => pattern.test(line))?.trim();
	const key = first(/NO_PUBKEY|is not signed|invalid signature|BADSIG|EXPKEYSIG|[Cc]learsigned file isn.t valid/);
	if (key !== undefined)
		return new SlipwayError("E_KEYRING", `The keyring ${o.keyring} does not fit the archive of ${o.suite}: ${key}`, {
			next: "Set KEYRING= to the archive's keyring, in a folder that everyone may read: apt checks signatures as a user of its own.",
		});
	const refused = first(/^Invalid token\b|^Attach denied/);
	if (refused !== undefined) return new RefusedToken(`Ubuntu Pro refused the token: ${refused}`);
	const missing = lines.flatMap(
		(line) =>
			/Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate/.exec(line)?.slice(1) ?? [],
	);
	const changed = lines.flatMap((line) => /^changed: (\S+)/.exec(line)?.[1] ?? []);
	if (changed.length > 0) return new ChangedPackages(changed, o.suite);
	const damaged = first(/Failed to fetch \S+ +Hash Sum mismatch/);
	if (damaged !== undefined)
		return new DamagedPackage(
			`The archive of ${o.suite} sends another file than its signed index describes: ${damaged}`,
		);
	const expired = first(/Release file for .* is expired/);
	if (expired !== undefined)
		return new SlipwayError("E_ARCHIVE_EXPIRED", `The archive of ${o.suite} is too old: ${expired}`);
	if (o.mode === "chrootless") {
		// The last words of a script may have no end of line.
		const script = /dpkg: error processing package (\S+)/.exec(first(/dpkg: error processing package \S/) ?? "")?.[1];
		const strayed = /^strayed: (.*)/.exec(first(/^strayed: /) ?? "")?.[1];
		const why = script !== undefined ? `the scripts of ${script} fail` : `scripts wrote to ${strayed}`;
		const message = `Packages for ${o.arch} are installed from outside of their root, and ${why}.`;
		if ((script ?? strayed) !== undefined) return new SlipwayError("E_FOREIGN_PACKAGE", message);
	}
	const gone = first(/Version '.*' for '.*' was not found/);
	if (gone !== undefined)
		return new SlipwayError("E_ARCHIVE_CHANGED", `The archive of ${o.suite} changed since it was resolved: ${gone}`);
	const names = [...new Set(missing.filter(Boolean))];
	if (names.length > 0) return new MissingPackages(names, o);
	const net = first(
		/Failed to fetch|Could not (?:resolve|connect)|Unable to connect|Connection (?:refused|timed out|failed)|does not have a Release file|Temporary failure/,
	);
	if (net !== undefined) {
		return new SlipwayError("E_ARCHIVE_UNREACHABLE", `The archive of ${o.suite} cannot be reached: ${net}`, {
			next: "Set MIRROR= to an archive that this host can reach, or choose another base with BASE=.",
		});
	}
	return error;
}
