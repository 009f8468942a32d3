import {
	copyFile,
	link,
	mkdir,
	open,
	readFile,
	rename,
	rm,
	symlink,
	truncate,
	unlink,
	writeFile,
} from "node:fs/promises";
import { basename, join } from "node:path";
import fc from "fast-check";
import { lockStore } from "../../../agent/store/lock.ts";
import { run } from "../../../builder/tools/run.ts";
import { signatureName } from "../../../bundle/signature-file.ts";
import { type Family, family, pick, place, variant } from "../family.ts";

/** A19 and A29 to A31: a medium that changes, that is not what it looks like, and a box that has no room or no time. */

/** What may happen to a file between the check of its index and the reading of its data. */
const SWAPS: Record<string, (path: string, at: number) => Promise<void>> = {
	"replaced by another file": async (path) => {
		await writeFile(`${path}.new`, Buffer.alloc(1000, "evil"));
		await rename(`${path}.new`, path);
	},
	"replaced by a copy": async (path) => {
		await copyFile(path, `${path}.new`);
		await rename(`${path}.new`, path);
	},
	"replaced by a link": async (path) => {
		await rename(path, `${path}.old`);
		await symlink(`${path}.old`, path);
	},
	removed: (path) => unlink(path),
	"cut off": async (path, at) => truncate(path, pick(at, (await readFile(path)).length)),
	"one byte written": async (path, at) => {
		const bytes = await readFile(path);
		const fd = await open(path, "r+");
		await fd.write(Buffer.from([bytes[pick(at, bytes.length)]! ^ 0xff]), 0, 1, pick(at, bytes.length));
		await fd.close();
	},
	"the same bytes written": async (path) => {
		const fd = await open(path, "r+");
		await fd.write(await readFile(path), 0);
		await fd.close();
	},
};

const a19 = family(
	"A19",
	"a file that is another one when it is read again",
	variant(
		"after its index was checked",
		["E_SOURCE_CHANGED", "E_FRAME", "E_TRUNCATED", "E_SIG_INVALID"],
		fc.record({ how: fc.constantFrom(...Object.keys(SWAPS)), at: place }),
		async (site, { how, at }) => {
			const { bundle } = await site.forge({});
			return { bundle, onIndex: () => SWAPS[how]!(bundle, at) };
		},
	),
	variant("a link from the start", "E_IO", fc.constantFrom("bundle", "signature"), async (site, which) => {
		const { bundle } = await site.forge({});
		const path = which === "bundle" ? bundle : signatureName(bundle);
		await rename(path, `${path}.real`);
		await symlink(`${path}.real`, path);
		return { bundle };
	}),
);

/** Things that are no regular file. */
const NODES: Record<string, (path: string) => Promise<unknown>> = {
	pipe: (path) => run("mkfifo", [path]),
	folder: (path) => mkdir(path),
	"link to itself": (path) => symlink(basename(path), path),
	"link to nothing": (path) => symlink("/nonexistent/x", path),
	"link to zeros without end": (path) => symlink("/dev/zero", path),
	"link to what is there": async (path) => {
		await writeFile(`${path}.real`, "x");
		await symlink(`${path}.real`, path);
	},
	"device of zeros without end": (path) => run("mknod", [path, "c", "1", "5"]),
	"block device": (path) => run("mknod", [path, "b", "7", "250"]),
};
const node = fc.constantFrom(...Object.keys(NODES));

const fileName = fc
	.stringMatching(/^[a-z0-9._ -]{1,20}$/)
	.filter((n) => !/^\.{1,2}$|\.zst$|\.new$|^release|^core/.test(n));

const a29 = family(
	"A29",
	"a medium full of things that are not content",
	variant(
		"in place of a file",
		"E_IO",
		fc.record({ node, which: fc.constantFrom("bundle", "signature", "release") }),
		async (site, { node, which }) => {
			const content = await site.content();
			const bundle = join(content, basename(site.good.path));
			const path = { bundle, signature: signatureName(bundle), release: join(content, "release.dsse.json") }[which]!;
			await rm(path);
			await NODES[node]!(path);
			return { content };
		},
	),
	variant(
		"beside the files, with a bundle's name",
		["E_IO", "E_UNSIGNED"],
		fc.record({ node, name: fc.stringMatching(/^[a-z0-9 ._-]{0,12}$/) }),
		async (site, { node, name }) => {
			const content = await site.content();
			await NODES[node]!(join(content, `x${name}.zst`));
			return { content };
		},
	),
	variant(
		"beside the files, with other names",
		[],
		fc.array(fc.record({ node, name: fileName }), { maxLength: 12 }),
		async (site, list) => {
			const content = await site.content();
			for (const { node, name } of new Map(list.map((i) => [i.name, i])).values())
				await NODES[node]!(join(content, name));
			return { content };
		},
	),
	variant("one bundle under many names", "E_RELEASE_SET", fc.integer({ min: 1, max: 300 }), async (site, n) => {
		const content = await site.content();
		for (const [from, end] of [
			[site.good.path, "zst"],
			[site.good.sigPath, "sig.bin"],
		] as const) {
			for (let i = 0; i < n; i++) await link(from, join(content, `copy-${i}.${end}`));
		}
		return { content };
	}),
	variant(
		"files that are no bundles, with bundles' names",
		"E_UNSIGNED",
		fc.integer({ min: 1, max: 300 }),
		async (site, n) => {
			const content = await site.content();
			for (let i = 0; i < n; i++) await writeFile(join(content, `junk-${i}.zst`), "");
			return { content };
		},
	),
	variant("more of them than are looked at", "E_LIMIT", fc.integer({ min: 1000, max: 1500 }), async (site, n) => {
		const content = await site.content();
		for (let i = 0; i < n; i++) await link(site.good.path, join(content, `junk-${i}.zst`));
		return { content };
	}),
	variant("folders in folders, and a way back up", [], fc.integer({ min: 1, max: 30 }), async (site, depth) => {
		const content = await site.content();
		const deep = join(content, ...Array<string>(depth).fill("d"));
		await mkdir(deep, { recursive: true });
		await symlink(content, join(deep, "up"));
		return { content };
	}),
	variant(
		"no folder, no release, no bundle",
		"E_MEDIA",
		fc.constantFrom("folder", "release", "bundles", "all"),
		async (site, missing) => {
			const content = await site.content();
			if (missing === "folder") return { content: join(content, "none") };
			if (missing !== "bundles") await rm(join(content, "release.dsse.json"));
			if (missing !== "release") await rm(join(content, basename(site.good.path)));
			return { content };
		},
	),
	variant("a file in place of the folder", ["E_MEDIA", "E_IO"], fc.constant(null), async (site) => ({
		content: join(await site.content(), "release.dsse.json"),
	})),
);

const a30 = family(
	"A30",
	"a disk that is full or cannot be written to (every call's failure: the project `crash`)",
	variant("no room", "E_NO_SPACE", fc.integer({ min: 64, max: 30_000 }), async (site, kib) => ({
		content: await site.content(),
		store: await site.mount(`size=${kib}k`),
		authentic: true,
		config: { serve: "store" },
	})),
	variant("no more files", "E_NO_SPACE", fc.integer({ min: 2, max: 20 }), async (site, files) => ({
		content: await site.content(),
		store: await site.mount(`size=64m,nr_inodes=${files}`),
		authentic: true,
		config: { serve: "store" },
	})),
	variant("read-only", "E_IO", fc.constant(null), async (site) => ({
		content: await site.content(),
		store: await site.mount("ro"),
		authentic: true,
		config: { serve: "store" },
	})),
	variant("a file where the store should be", "E_IO", fc.constantFrom("", "/below"), async (site, below) => {
		const file = join(await site.folder(), "file");
		await writeFile(file, "x");
		return { content: await site.content(), store: `${file}${below}` };
	}),
);

const a31 = family(
	"A31",
	"a second agent on the same store",
	variant(
		"under any of its paths",
		"E_BUSY",
		fc.constantFrom("the same", "dots", "link", "bind mount"),
		async (site, how) => {
			const store = await site.folder();
			const lock = await lockStore(store);
			const other = {
				"the same": () => store,
				dots: () => `${store}/../${basename(store)}`,
				link: async () => {
					const link = join(await site.folder(), "link");
					await symlink(store, link);
					return link;
				},
				"bind mount": () => site.bind(store),
			}[how]!;
			const after = () => new Promise<void>((resolve) => lock.close(() => resolve()));
			return { content: await site.content(), store: await other(), after };
		},
	),
);

export const changeFamilies: readonly Family[] = [a19];
export const mediumFamilies: readonly Family[] = [a29, a30, a31];
