import { SlipwayError } from "../../bundle/errors.ts";

/** One entry of an image layer. Paths have no leading slash. */
export type Entry = { readonly mode: number; readonly uid: number; readonly gid: number } & (
	| { readonly type: "file"; readonly content: Content }
	| { readonly type: "directory" }
	| { readonly type: "symlink"; readonly target: string }
);

/** Bytes of a file: in memory, or in a file on disk (named by us, never by an archive). */
export type Content = Uint8Array | { readonly file: string; readonly size: number };

const MAX_LINKS = 16;
const TOP_LINKS = ["bin", "sbin", "lib", "lib64", "lib32", "libx32"];
const MERGED = new RegExp(`^(${TOP_LINKS.join("|")})(?=/|$)`);

/**
 * The files of an image before they become a layer. Old top-level folders (`bin`, `lib` …) are written into `usr/`, as
 * every supported base does, and the links that lead there are made by the tree itself.
 */
export class FileTree {
	readonly #entries = new Map<string, Entry>();

	/** Path in the form a tree uses: no leading slash, no dots, merged into usr/. Errors: E_PACK. */
	static path(name: string): string {
		const clean = name.replace(/^\.?\/+/, "").replace(/\/+$/, "");
		const parts = clean.split("/");
		// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
		if (clean !== "" && (parts.some((p) => p === "" || p === "." || p === "..") || /[\0-\x1f\x7f\\]/.test(clean))) {
			throw new SlipwayError("E_PACK", `The path ${JSON.stringify(name)} is not allowed in an image.`);
		}
		return clean.replace(MERGED, "usr/$1");
	}

	get(name: string): Entry | undefined {
		return this.#entries.get(FileTree.path(name));
	}

	/**
	 * Sets an entry. A later file replaces an earlier one; of a folder that several packages have, the first counts, unless
	 * `replace` is given.
	 */
	set(name: string, entry: Entry, mode: "first" | "replace" = "first"): void {
		if (TOP_LINKS.includes(name.replace(/^\.?\/+/, "").replace(/\/+$/, ""))) return;
		const path = this.#throughLinks(FileTree.path(name));
		if (path === "" || path === "usr") return;
		const there = this.#entries.get(path);
		// A folder that one package has as a link (usr/lib64, say) stays a link: its content lands where the link points.
		const keepsFirst = there?.type === "symlink" || (there?.type === "directory" && mode === "first");
		if (entry.type === "directory" && keepsFirst) return;
		this.#entries.set(path, entry);
	}

	/** A package may put a file below a folder that another has as a link, such as var/run: it goes where the link points. */
	#throughLinks(path: string, depth = 0): string {
		const parts = path.split("/");
		for (let i = 1; i < parts.length && depth < MAX_LINKS; i++) {
			const entry = this.#entries.get(parts.slice(0, i).join("/"));
			if (entry?.type !== "symlink") continue;
			return this.#throughLinks(follow(entry.target, parts, i), depth + 1);
		}
		return path;
	}

	/** Takes entries away, with everything below them; `*` stands for one name. False: there were none. */
	remove(pattern: string): boolean {
		const words = FileTree.path(pattern)
			.split("*")
			.map((part) => part.replace(/[.+]/g, "\\$&"));
		const matcher = new RegExp(`^${words.join("[^/]*")}(/|$)`);
		const gone = [...this.#entries.keys()].filter((key) => matcher.test(key));
		for (const key of gone) this.#entries.delete(key);
		return gone.length > 0;
	}

	/** Where a path leads after following links inside the tree; undefined when nothing is there. */
	resolve(name: string, depth = 0): { path: string; entry: Entry } | undefined {
		if (depth > MAX_LINKS) return undefined;
		const parts = FileTree.path(name).split("/");
		for (let i = 1; i <= parts.length; i++) {
			const prefix = parts.slice(0, i).join("/");
			const entry = this.#entries.get(prefix);
			if (entry?.type === "symlink") {
				return this.resolve(follow(entry.target, parts, i), depth + 1);
			}
			if (i === parts.length) return entry === undefined ? undefined : { path: prefix, entry };
		}
		return undefined;
	}

	/** Entries sorted by path, with every parent directory in front of what it holds. Errors: E_PACK. */
	entries(): [string, Entry][] {
		const all = new Map(this.#entries);
		for (const path of this.#entries.keys()) {
			for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
				const parent = path.slice(0, at);
				const there = all.get(parent);
				if (there === undefined) all.set(parent, { type: "directory", mode: 0o755, uid: 0, gid: 0 });
				else if (there.type !== "directory") {
					throw new SlipwayError("E_PACK", `/${parent} is a ${there.type} in one package and a folder in another.`);
				}
			}
		}
		for (const link of TOP_LINKS.filter((name) => all.has(`usr/${name}`))) {
			all.set(link, { type: "symlink", mode: 0o777, uid: 0, gid: 0, target: `usr/${link}` });
		}
		return [...all].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
	}
}

/** Path that comes out when the link at `parts[at - 1]` is replaced by its target. */
function follow(target: string, parts: readonly string[], at: number): string {
	const from = target.startsWith("/") ? "" : parts.slice(0, at - 1).join("/");
	return FileTree.path(join(from, target, parts.slice(at).join("/")));
}

/** Joins path pieces and takes `.` and `..` away; never climbs above the root. */
function join(...pieces: string[]): string {
	const out: string[] = [];
	for (const part of pieces.join("/").split("/")) {
		if (part === "..") out.pop();
		else if (part !== "" && part !== ".") out.push(part);
	}
	return out.join("/");
}
