import { readExactly } from "../../bundle/read.ts";
import { readInitrd } from "../tools/initrd.ts";
import type { Stretch } from "./metadata.ts";
import { moduleKind } from "./module-kind.ts";
import { type Part, PartTree } from "./part.ts";
import { shareOut } from "./stored.ts";

/** Larger ones are not looked into. */
const MAX_PACKED = 512 * 1024 * 1024;

/**
 * What an initrd's bytes are for: cpio archives one behind the other, the last one compressed. Of that one only the sum is known, so it
 * is shared out by plain length, which is an estimate. One of another form is a part without parts. Errors: E_IO, E_TRUNCATED.
 */
export async function initrdParts({ fd, start, size }: Stretch, name: string): Promise<Part> {
	if (size > MAX_PACKED) return { name, bytes: size };
	const data = await readExactly(fd, start, size);
	const tree = new PartTree();
	const { early, mainAt, main } = readInitrd(data);
	for (const { path, bytes } of early) tree.add(placeOf(path), bytes);
	if (main === undefined) return { name, bytes: size };
	const shares = shareOut(
		size - mainAt,
		main.map(({ bytes }) => bytes),
	);
	for (const [i, { path }] of main.entries()) tree.add(placeOf(path), shares[i]!);
	tree.add(["Ends of archives"], size - tree.bytes);
	return { ...tree.toPart(name), note: "inside what is compressed, shares are estimates by plain length" };
}

function placeOf(path: string): string[] {
	const kind = moduleKind(path);
	if (kind !== undefined) return ["Kernel modules", kind];
	if (/^(usr\/)?lib\/firmware\//.test(path) || path.startsWith("kernel/")) return ["Firmware and microcode"];
	if (/^(usr\/)?lib\/(modules)\//.test(path)) return ["Kernel modules", "indexes"];
	return ["Programs, libraries, scripts"];
}
