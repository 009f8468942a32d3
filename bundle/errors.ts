import { VERIFICATION_CODES } from "./verification-codes.ts";

/**
 * Every error that a person can meet, in one table: code, exit code, what it means, what to do next.
 * `docs/errors.md` is generated from it. Exit codes: 2 bad input, 3 unsupported, 4 missing tool or unreachable
 * archive, 5 I/O, 6 verification.
 */
const TABLE = {
	// Profiles and other YAML (2)
	E_PROFILE_NOT_FOUND: [2, "No profile of that name", "Run `./slipway list`."],
	E_YAML_SYNTAX: [2, "The file is not valid YAML", "Correct the line that is named."],
	E_PROFILE_KEY: [2, "A key is not known here", "Use the nearest valid key, or see docs/profile.md."],
	E_PROFILE_VALUE: [2, "A value has the wrong type or form", "See docs/profile.md for what the key takes."],
	E_PROFILE_CYCLE: [2, "Profiles extend each other in a circle", "Remove one `extends` of the circle."],
	E_PROFILE_EXTENDS: [2, "A profile extends a file that is not there", "Correct the path in `extends`."],
	E_OVERLAY_NOT_FOUND: [
		2,
		"A profile names an overlay that is not there",
		"Create it in overlays/, or remove the name.",
	],
	E_BUNDLE_NOT_FOUND: [
		2,
		"A profile names a bundle that is not there",
		"Create it in profiles/bundles/, or remove the name.",
	],
	E_BASE_NOT_FOUND: [2, "No base of that name", "Run `./slipway list` for the bases."],
	E_HARDWARE_NOT_FOUND: [2, "No hardware set of that name", "Run `./slipway list` for the hardware sets."],
	E_USAGE: [2, "The command line is not right", "Run the command with --help."],
	E_CONFIG: [2, "The agent's configuration is not right", "Correct the key that is named; see docs/agent.md."],
	E_NAME_CONFLICT: [
		2,
		"Two packs give one name different digests",
		"Rename one of them, or bring both to the same digest.",
	],
	E_PACK: [2, "A pack cannot be built from what it names", "Correct the pack's definition."],
	E_REGISTRY_AUTH: [2, "The registry refused the credentials", "Check the file that REGISTRY_AUTH_FILE names."],
	E_TARGET_NAME: [
		2,
		"Names cannot be kept in the target registry",
		"Use a shorter path in `registry.target`, or rename one of the names.",
	],
	E_HOST: [
		2,
		"The request names a host that is not this machine",
		"Use an address that the console shows, or add the name to `network.names`.",
	],
	E_ISO: [2, "The file is not an ISO image that this can work with", "Name the X.iso of a release."],
	E_DEVICE: [2, "That is not a disk that may be written over", "Name a stick that nothing uses; `lsblk` shows them."],
	E_LOCK: [
		2,
		"The lock file does not fit this profile",
		"Run `./slipway lock PROFILE --diff`, then without --diff, and commit the file.",
	],
	E_INPUTS: [2, "The inputs file does not fit this build", "Use the X.inputs.json of the same commit and profile."],
	// Unsupported (3)
	E_HOST_ARCH: [3, "This host's architecture is not supported", "Build on x86_64 or aarch64 Linux."],
	E_FIPS_BASE: [3, "The base has no FIPS provider", "Use another base, or `fips: false`."],
	E_KERNEL_UNSIGNED: [
		3,
		"The kernel is not signed, and Secure Boot would refuse it",
		"Use the base's signed kernel, or `boot: uki` with a key of your own.",
	],
	E_ARCH_BASE: [3, "The base does not offer this architecture", "Use another base or architecture."],
	E_HARDWARE_ARCH: [3, "The hardware set is for another architecture", "Use another hardware set or architecture."],
	E_KERNEL_FLAVOUR: [3, "The base has no kernel of this flavour", "Use one of those that are named, or another base."],
	E_FIRMWARE_CLASS: [
		3,
		"The base has no such class of firmware",
		"Use a class that `./slipway list` shows for this base and architecture.",
	],
	E_FOREIGN_PACKAGE: [
		3,
		"A package cannot be installed for another architecture than the host's without running its programs",
		"Leave it out, build on a host of that architecture, or use a base with `foreignInstall: emulated`.",
	],
	E_TARGET_SPARSE: [
		3,
		"The target registry takes no multi-arch image of which only some platforms are here",
		"Set `registry.sparse: child`, bring all platforms, or use a registry that takes sparse indexes.",
	],
	E_FORMAT: [3, "A format, or a critical feature of it, is newer than this program", "Use a newer agent or builder."],
	// Tools, archives, credentials (4)
	E_TOOL_MISSING: [4, "A program is missing and cannot be installed", "Run the command that is printed, as root."],
	E_EMULATOR: [
		4,
		"This host cannot run programs of the architecture that is built",
		"As root, run `scripts/setup foreign`, which installs qemu-user-static.",
	],
	E_ARCHIVE_UNREACHABLE: [
		4,
		"The package archive cannot be reached",
		"Set MIRROR= to one that can, or use another base.",
	],
	E_ARCHIVE_CHANGED: [
		4,
		"The archive no longer offers the resolved package set",
		"Run again with --refresh; a locked profile needs a new `./slipway lock`, or a MIRROR= that still has the packages.",
	],
	E_ARCHIVE_EXPIRED: [
		4,
		"The archive's signed Release file has expired",
		"Bring the mirror up to date; a build from a lock takes one that is old.",
	],
	E_ARCHIVE_INDEX: [
		4,
		"The archive's index does not describe a package as a build needs it",
		"Have the mirror write name, version, size, SHA-256 and a path below its own folder for every package.",
	],
	E_KEYRING: [4, "This host has no keyring for the base's archive", "Set KEYRING= to the archive's keyring file."],
	E_PRO_TOKEN: [
		4,
		"Ubuntu's FIPS packages need an Ubuntu Pro token",
		"Set PRO_TOKEN_FILE=, or build the laboratory base with BASE=debian-13.",
	],
	E_REGISTRY_UNREACHABLE: [
		4,
		"The registry cannot be reached",
		"Check its address, and REGISTRY_CA= for a private CA.",
	],
	E_NOT_ROOT: [4, "This needs root", "Run as root, or with sudo."],
	E_KEY_MISSING: [4, "There is no private key to sign with", "Set SIGNING_KEY=, or give --inputs with the signatures."],
	// I/O (5)
	E_NO_SPACE: [5, "There is not enough free disk space", "Free the space that is named, or use another disk."],
	E_IO: [5, "Reading or writing failed", "Check the disk or medium, then run again."],
	E_STAGE: [5, "A build stage failed", "Read the log that is named."],
	E_TOOL_FAILED: [5, "A program failed", "Read its last lines."],
	E_INTERRUPTED: [5, "Interrupted", "Run the same command again; finished stages are kept."],
	E_TARGET_REFUSED: [5, "The target registry refused what was pushed", "Read the registry's own log."],
	E_BUSY: [5, "Another process holds the store or the stage", "Wait for it, or stop it."],
	E_BOOT_TIMEOUT: [5, "The guest was not ready in time", "Read the serial log that is named."],
	E_BOOT_CHECK: [5, "The booted appliance failed a check", "Read the boot report that is named."],
	E_ISO_GATE: [5, "The ISO does not have the structure it must have", "This is a defect: report it with the log."],
	E_AGENT_DOWN: [
		5,
		"The agent does not run",
		"Start it: `systemctl start slipway-agent`, or `slipway agent --config FILE`.",
	],
	E_MEDIUM_GONE: [
		5,
		"The medium with the content was pulled out, or cannot be read",
		"Insert it again: the service resumes by itself.",
	],
	E_TRUST_STATE: [
		5,
		"What this box keeps to tell old content from new cannot be read",
		"Check the data disk, then follow docs/trust.md.",
	],
	E_INTERNAL: [5, "Something unexpected happened", "Run again with --debug and report it."],
	...VERIFICATION_CODES,
} as const satisfies Record<string, readonly [exit: number, meaning: string, next: string]>;

export type ErrorCode = keyof typeof TABLE;

/** Whether that is a code of the table: what another process reports may be anything. */
export function isErrorCode(code: unknown): code is ErrorCode {
	return typeof code === "string" && Object.hasOwn(TABLE, code);
}

/** A place in a YAML file; line and column count from 1. */
export interface Place {
	readonly file: string;
	readonly line: number;
	readonly col: number;
}

/**
 * An error that a person can act on. `message` is the cause in one sentence with the object named; `next` is what to do,
 * by default the table's. Anything thrown that is not one of these is a defect.
 */
export class SlipwayError extends Error {
	override readonly name = "SlipwayError";
	readonly code: ErrorCode;
	readonly next: string;
	readonly at: Place | undefined;

	constructor(code: ErrorCode, message: string, options: { next?: string; at?: Place; cause?: unknown } = {}) {
		super(message, { cause: options.cause });
		this.code = code;
		this.next = options.next ?? TABLE[code][2];
		this.at = options.at;
	}

	get exitCode(): number {
		return TABLE[this.code][0];
	}
}

/** Several errors found in one pass, reported together. The exit code is that of the first. */
export class SlipwayErrors extends AggregateError {
	override readonly name = "SlipwayErrors";
	declare readonly errors: SlipwayError[];

	get exitCode(): number {
		return this.errors[0]?.exitCode ?? 5;
	}
}

/** Rows of the table, in order, for the generated reference. */
export function errorTable(): { code: ErrorCode; exit: number; meaning: string; next: string }[] {
	return Object.entries(TABLE).map(([code, [exit, meaning, next]]) => ({
		code: code as ErrorCode,
		exit,
		meaning,
		next,
	}));
}
