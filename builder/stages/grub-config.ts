import { z } from "zod";
import type { Build } from "../plan/build.ts";
import { rootMark } from "./kernel-line.ts";

/** What the boot menu shows and passes on. */
export const menu = z.strictObject({
	title: z.string(),
	/** Warnings under the title. */
	notes: z.array(z.string()),
	serial: z.string(),
	baud: z.int(),
	arch: z.enum(["amd64", "arm64"]),
});
export type Menu = z.infer<typeof menu>;

/** Menu of a build. Pure. */
export function menuOf({ profile, base, version, signer }: Build): Menu {
	const notes: string[] = [];
	if (profile.fips) {
		const certified = base.fips?.stream === "fips" && base.fips.certificate !== null;
		notes.push(certified ? "FIPS mode" : "FIPS mode, module not certified");
	}
	if (signer.development) notes.push("development key");
	return {
		title: `${profile.product} ${version}`,
		notes,
		serial: profile.console.serial,
		baud: profile.console.baud,
		arch: profile.arch,
	};
}

/**
 * With superusers set, and none of that name, GRUB lets nobody change an entry or open its own prompt, behind the menu too. That
 * stops who stands in front of the box, not who can exchange the medium (docs/iso.md). What may be started is `--unrestricted`.
 */
const NOBODY_EDITS = ['set superusers=""'];

/**
 * The menu: start, start with the serial console first, check the medium. The last `console=` is the one that programs
 * write to. `quiet` leaves the screen to the agent's few lines.
 */
export function grubConfig(m: Menu, line: readonly string[], rootId: string): string {
	const entry = (name: string, words: readonly string[]) =>
		[
			`menuentry "${name}: ${m.title}" --unrestricted {`,
			`\tlinux /boot/vmlinuz ${[...line, ...words].map(quote).join(" ")}`,
			"\tinitrd /boot/initrd",
			"}",
		].join("\n");
	return [
		...NOBODY_EDITS,
		"set default=0",
		"set timeout=5",
		`search --no-floppy --set=root --file ${rootMark(rootId)}`,
		...serialTerminal(m),
		entry("Start", startWords(m)),
		entry("Start with serial console", ["console=tty0", serialConsole(m)]),
		entry("Check the medium", [...startWords(m), "slipway.check=1"]),
		// Not an entry to start: the one way to show a line under a menu without graphics.
		...(m.notes.length === 0 ? [] : [`menuentry "(${m.notes.join("; ")})" --unrestricted {\n\ttrue\n}`]),
		"",
	].join("\n");
}

/** Where the kernel of the first entry writes. */
export function startWords(m: Menu): string[] {
	return [serialConsole(m), "console=tty0", "quiet"];
}

function serialConsole({ serial, baud }: Menu): string {
	return `console=${serial},${baud}n8`;
}

/** BIOS shows the menu on the serial port too; UEFI firmware mirrors its own console there, and twice would be garbled. */
function serialTerminal(m: Menu): string[] {
	const unit = /^ttyS(\d)$/.exec(m.serial)?.[1];
	if (unit === undefined) return [];
	return [
		'if [ "$grub_platform" = "pc" ]; then',
		`\tif serial --unit=${unit} --speed=${m.baud}; then`,
		"\t\tterminal_input console serial",
		"\t\tterminal_output console serial",
		"\tfi",
		"fi",
	];
}

/** First configuration inside a boot image: finds the medium, whatever device it is, and goes on with its menu. */
export function earlyConfig(rootId: string): string {
	return `search --no-floppy --set=root --file ${rootMark(rootId)}\nset prefix=($root)/boot/grub\n`;
}

/** The same for signed GRUB, which takes its configuration from the EFI system partition it was loaded from. */
export function espConfig(rootId: string): string {
	return [...NOBODY_EDITS, `${earlyConfig(rootId)}configfile $prefix/grub.cfg`, ""].join("\n");
}

/** One word of a GRUB script. The schema keeps control characters out; a single quote ends and starts the quotes again. */
function quote(word: string): string {
	return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
