import { readExactly } from "../../bundle/read.ts";
import { damaged, type Stretch } from "./metadata.ts";
import { moduleKind } from "./module-kind.ts";
import { type Part, PartTree, sumOf } from "./part.ts";
import { openSquashfs, type Squashfs } from "./squashfs.ts";
import { storedBytes } from "./stored.ts";

const LISTS = /^var\/lib\/dpkg\/info\/([^/:]+)(?::[^/]+)?\.list$/;
const ALIGNMENT = 4096;
const MAX_LIST = 64 * 1024 * 1024;

/** What a root image's bytes are for: packages by dpkg's own lists, Node.js, the agent, and what the file system itself needs. */
export async function rootImageParts(at: Stretch): Promise<Part> {
	const image = await openSquashfs(at);
	if (image.bytesUsed > at.size) throw damaged("it ends too early");
	const owners = await packageOwners(image);
	const tree = new PartTree();
	for (const [path, bytes] of storedBytes(image)) tree.add(placeOf(path, owners.get(path)), bytes);
	const parts = tree.toPart("files").parts ?? [];
	const files = parts.reduce((sum, part) => sum + part.bytes, 0);
	if (files > image.bytesUsed) throw damaged("its files are larger than itself");
	const behind = await partsBehind(at, image.bytesUsed);
	const tables = { name: "File system tables", bytes: image.bytesUsed - files, note: "names, owners, modes, places" };
	return sumOf("Root image", [...parts, tables, ...behind], "ends of files share blocks: their share is an estimate");
}

/** What follows the file system in its file: zeros up to a whole page, and dm-verity's hash tree. */
async function partsBehind({ fd, start, size }: Stretch, used: number): Promise<Part[]> {
	const end = Math.min(size, Math.ceil(used / ALIGNMENT) * ALIGNMENT);
	const magic = end + 8 <= size ? (await readExactly(fd, start + end, 8)).toString("latin1") : "";
	const name = magic === "verity\0\0" ? "dm-verity hash tree" : "Behind the file system";
	return [
		{ name: "Padding", bytes: end - used },
		{ name, bytes: size - end },
	];
}

/** Names under which a file is counted. */
function placeOf(path: string, owner: string | undefined): string[] {
	if (path === "usr/lib/slipway/node") return ["Node.js"];
	if (owner !== undefined) {
		if (path.startsWith("usr/lib/firmware/")) return ["Firmware", owner];
		const kind = moduleKind(path);
		return ["Packages", owner, ...(kind === undefined ? [] : [kind])];
	}
	if (/(^|\/)slipway([/.@-]|$)|\/[0-9]+-slipway/.test(path)) return ["Agent"];
	if (path.startsWith("var/lib/dpkg/")) return [UNOWNED, "dpkg's database"];
	return [
		UNOWNED,
		path
			.split("/")
			.slice(0, path.startsWith("usr/") ? 3 : 1)
			.join("/"),
	];
}

/** Made when packages were installed, or by overlays. */
const UNOWNED = "Of no package";

/** Package of each path, by the lists that dpkg keeps in the image. */
async function packageOwners(image: Squashfs): Promise<Map<string, string>> {
	const owners = new Map<string, string>();
	for (const file of image.files) {
		const name = LISTS.exec(file.path)?.[1];
		if (name === undefined) continue;
		if (file.size > MAX_LIST) throw damaged(`${file.path} is too large`);
		for (const line of (await image.read(file)).toString("utf8").split("\n")) {
			const path = realPath(line.slice(1), image.topLinks);
			if (path !== "" && !owners.has(path)) owners.set(path, name);
		}
	}
	return owners;
}

/** Lists say `lib/…` where the image has a link `lib` to `usr/lib`. */
function realPath(path: string, links: ReadonlyMap<string, string>): string {
	const [top = "", ...rest] = path.split("/");
	const to = links.get(top);
	return to === undefined || rest.length === 0 ? path : [to.replace(/^\//, ""), ...rest].join("/");
}
