import { formatBytes } from "../plan/space.ts";
import { displayPath } from "../yaml/load.ts";
import type { Disk } from "./disk.ts";
import type { ReleaseCheck } from "./release-check.ts";

/** What a person must see before saying yes: which disk it is, and what is on it. */
export function describeDisk(disk: Disk): string[] {
	const { name, model, serial, transport, removable, size, parts } = disk;
	const known = [model || "unknown model", serial === "" ? "no serial number" : `serial ${serial}`];
	const kind = `${transport}, ${removable ? "removable" : "NOT REMOVABLE"}`;
	const lines = parts.map((part) =>
		[`  ${part.name}`, formatBytes(part.size), part.fileSystem, part.label === "" ? "" : `"${part.label}"`]
			.filter((cell) => cell !== "")
			.join("  "),
	);
	return [
		`/dev/${name}: ${known.join(", ")}, ${formatBytes(size)} (${size} bytes), ${kind}`,
		...(lines.length === 0 ? ["  nothing that is known is on it"] : lines),
	];
}

/** Which proof there is that the ISO is the right one, and which there is not. */
export function describeCheck({ sha256, checksum, signature }: ReleaseCheck): string[] {
	const lines = [`  SHA-256 ${sha256}${checksum ? ", as its .sha256 says" : ""}`];
	if (signature !== null) {
		const development = signature.development ? " (DEVELOPMENT KEY: not for production)" : "";
		const beside = signature.keyBeside
			? ", the key beside it: that shows damage, not an exchanged ISO; give --key"
			: "";
		lines.push(`  signed by ${signature.keyId}${development}, checked with ${displayPath(signature.keyFile)}${beside}`);
	} else if (checksum) lines.push("  signature NOT CHECKED: there is no public key beside it; give --key");
	else
		lines.push("  NOT CHECKED: no .sha256 and no public key lie beside it, so nothing says that it is the right one");
	return lines;
}
