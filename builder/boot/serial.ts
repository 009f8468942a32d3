import { readFile } from "node:fs/promises";

export interface SerialView {
	/** SHA-256 of the device certificate, hex. */
	readonly tlsSha256: string | undefined;
	readonly state: string | undefined;
	/** What the agent says of its root image's trust, as in its status; undefined: it said nothing. */
	readonly root: string | undefined;
	/** Whether kernel or agent found Secure Boot on; null: neither said. */
	readonly secureBoot: boolean | null;
	/** Last lines that a person can read. */
	readonly tail: string;
}

/** What a guest has said on its serial port so far: the agent's `slipway: key=value` lines, the last of each. */
export async function readSerial(file: string): Promise<SerialView> {
	const text = clean(await readFile(file, "latin1").catch(() => ""));
	const last = (key: string, value: string) =>
		[...text.matchAll(new RegExp(`^slipway: ${key}=(${value})$`, "gm"))].at(-1)?.[1];
	const lines = text.split("\n").filter((line) => line.trim() !== "");
	return {
		tlsSha256: last("tls-sha256", "[0-9a-f]{64}"),
		state: last("state", "[a-z]+"),
		root: /^Started: .*, root image ([a-z-]+)$/m.exec(text)?.[1],
		secureBoot: secureBootIn(text),
		tail: lines.slice(-12).join("\n"),
	};
}

function secureBootIn(text: string): boolean | null {
	const said = /secureboot: Secure boot (enabled|disabled)|^Started: +Secure Boot (on|off),/m.exec(text);
	return said === null ? null : said[1] === "enabled" || said[2] === "on";
}

/** Without the escape sequences that firmware and GRUB draw their screens with. */
export function clean(text: string): string {
	// biome-ignore lint/suspicious/noControlCharactersInRegex: terminals are driven by them
	return text.replace(/\x1b\[[0-9;:=?]*[A-Za-z]/g, "").replace(/[^\x20-\x7e\n]/g, "");
}
