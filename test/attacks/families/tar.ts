import { readFile } from "node:fs/promises";
import { zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { tarEntries } from "../../../bundle/index-check.ts";
import type { BundleIndex } from "../../../bundle/index-schema.ts";
import { BLOCK, headerLength, type TarEntry } from "../../../bundle/tar.ts";
import { type Family, family, pick, place, variant } from "../family.ts";

/** A01 to A05: tar entries that an extracting reader would fall for. Signatures, frames and offsets are all right. */

const NAMES = fc.oneof(
	fc.constantFrom(
		"../../etc/passwd",
		"/etc/shadow",
		"C:\\Windows\\x",
		"blobs/../../x",
		"./oci-layout",
		"\\\\host\\share",
		"~/x",
		"",
	),
	fc.stringMatching(/^(\.\.\/){1,6}[a-z]{1,8}$/),
	fc.stringMatching(/^\/[a-z/]{1,30}$/),
	fc.stringMatching(/^[A-Z]:[\\/][a-z]{1,12}$/),
);
const TWINS = fc.constantFrom(
	(name: string) => name.toUpperCase(),
	(name: string) => name.replaceAll("/", "\\"),
	(name: string) => `./${name}`,
	(name: string) => `${name}/`,
	(name: string) => name.replace("o", "\u00f6"),
	(name: string) => name.replace("b", "\u212c"),
	(name: string) => name.replaceAll("/", "//"),
);
const TYPES = [..."1234567gxLKSDMNVAXZ", "\0", " ", "\xff"];

/** Where the main header of an entry stands in the tar; in front of it may be PAX records. */
function headerAt(index: BundleIndex, entry: number): number {
	const entries = tarEntries(index);
	const offsets = [...index.files, ...index.blobs].map((r) => r.tarOffset);
	return offsets[entry]! - Math.min(BLOCK, headerLength(entries[entry] as TarEntry));
}

/** Writes into a header and makes its checksum right again, as a writer of such an archive would. */
function rewrite(tar: Buffer, at: number, change: (header: Buffer) => void): Buffer {
	const header = tar.subarray(at, at + BLOCK);
	change(header);
	header.fill(" ", 148, 156);
	const sum = header.reduce((total, byte) => total + byte, 0);
	header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
	return tar;
}

function setName(header: Buffer, name: string): void {
	header.fill(0, 0, 100);
	header.write(name.slice(0, 100), 0, "utf8");
}

const anyEntry = (index: BundleIndex, at: number) => pick(at, index.files.length + index.blobs.length);

const a01 = family(
	"A01",
	"tar entries with names that climb, are absolute or name a drive",
	variant("name", "E_ENTRY_NAME", fc.record({ at: place, name: NAMES }), (site, { at, name }) =>
		site.forge({
			tar: (tar) => rewrite(tar, headerAt(site.good.index, anyEntry(site.good.index, at)), (h) => setName(h, name)),
		}),
	),
	variant(
		"prefix field",
		"E_TAR",
		fc.record({ at: place, prefix: NAMES.filter((n) => n !== "") }),
		(site, { at, prefix }) =>
			site.forge({
				tar: (tar) =>
					rewrite(tar, headerAt(site.good.index, anyEntry(site.good.index, at)), (h) => void h.write(prefix, 345)),
			}),
	),
);

const a02 = family(
	"A02",
	"tar entries that are links, devices, pipes or folders",
	variant(
		"type",
		"E_ENTRY_TYPE",
		fc.record({ at: place, type: fc.constantFrom(...TYPES), link: NAMES }),
		(site, { at, type, link }) =>
			site.forge({
				tar: (tar) =>
					rewrite(tar, headerAt(site.good.index, anyEntry(site.good.index, at)), (h) => {
						h.write(type, 156, "latin1");
						h.write(link, 157);
					}),
			}),
	),
	variant(
		"link name on a regular file",
		"E_TAR",
		fc.record({ at: place, link: NAMES.filter((n) => n !== "") }),
		(site, { at, link }) =>
			site.forge({
				tar: (tar) =>
					rewrite(tar, headerAt(site.good.index, anyEntry(site.good.index, at)), (h) => void h.write(link, 157)),
			}),
	),
);

const a03 = family(
	"A03",
	"tar entries that appear twice, or look the same to some readers",
	variant("twice", "E_ENTRY_DUP", fc.record({ at: place, of: place }), (site, { at, of }) => {
		const { index } = site.good;
		const entries = tarEntries(index);
		const entry = 1 + pick(at, entries.length - 1);
		return site.forge({
			tar: (tar) => rewrite(tar, headerAt(index, entry), (h) => setName(h, entries[pick(of, entry)]!.name)),
		});
	}),
	variant("twin", "E_ENTRY_NAME", fc.record({ at: place, of: place, twin: TWINS }), (site, { at, of, twin }) => {
		const { index } = site.good;
		const entries = tarEntries(index);
		const original = entries[pick(of, entries.length)]!.name;
		const name = twin(original) === original ? original.toUpperCase() : twin(original);
		return site.forge({ tar: (tar) => rewrite(tar, headerAt(index, anyEntry(index, at)), (h) => setName(h, name)) });
	}),
	variant("blob twice in the index", "E_ENTRY_DUP", fc.record({ of: place, at: place }), (site, { of, at }) =>
		site.forge({
			index: (i) =>
				i.blobs.splice(pick(at, i.blobs.length + 1), 0, { ...i.blobs[pick(of, i.blobs.length)]! }) && undefined,
		}),
	),
);

/** Numbers that readers of tar take differently: negative, base 256, no digits, more than there is. */
const FIELDS = fc.constantFrom(
	"-0000000001",
	"77777777777",
	"00000000000",
	"\x80\0\0\0\0\0\0\0\0\0\x01",
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
	"           ",
	"9999999999x",
	"0x000000fff",
);

const a04 = family(
	"A04",
	"tar headers that mean different things to different readers",
	variant(
		"field",
		"E_TAR",
		fc.record({ at: place, field: fc.constantFrom(100, 108, 116, 124, 136, 329, 337), value: FIELDS }),
		(site, { at, field, value }) =>
			site.forge({
				tar: (tar) =>
					rewrite(tar, headerAt(site.good.index, anyEntry(site.good.index, at)), (h) => {
						const width = field === 124 || field === 136 ? 11 : 7;
						const old = h.toString("latin1", field, field + width);
						const next = value.slice(0, width);
						h.write(next === old ? "1".repeat(width) : next, field, "latin1");
					}),
			}),
	),
	variant("checksum", "E_TAR", fc.record({ at: place, add: fc.integer({ min: 1, max: 7 }) }), (site, { at, add }) =>
		site.forge({
			tar: (tar) => {
				const from = headerAt(site.good.index, anyEntry(site.good.index, at)) + 153;
				tar[from] = 0x30 + ((tar[from]! - 0x30 + add) % 8);
				return tar;
			},
		}),
	),
	variant(
		"magic",
		"E_TAR",
		fc.record({ at: place, magic: fc.constantFrom("ustar  \0", "\0\0\0\0\0\0\0\0", "ustar\x0001") }),
		(site, { at, magic }) =>
			site.forge({
				tar: (tar) =>
					rewrite(
						tar,
						headerAt(site.good.index, anyEntry(site.good.index, at)),
						(h) => void h.write(magic, 257, "latin1"),
					),
			}),
	),
	variant(
		"PAX records",
		"E_TAR",
		fc.record({
			at: place,
			key: fc.constantFrom("path=../../etc/x", "size=1", "linkpath=/etc/x", "GNU.sparse.size=1", "SCHILY.xattr.x=1"),
			from: fc.nat(40),
		}),
		(site, { at, key, from }) =>
			site.forge(
				{
					tar: (tar) => {
						const blob = site.wide.index.blobs[pick(at, site.wide.index.blobs.length)]!;
						tar.write(key, blob.tarOffset - 2 * BLOCK + from, "latin1"); // the records stand in front of the main header
						return tar;
					},
				},
				site.wide,
			),
	),
);

const a05 = family(
	"A05",
	"bytes behind an end: of the tar, of the bundle, or in front of either",
	variant("behind the file", "E_TRAILING", fc.uint8Array({ minLength: 1, maxLength: 5000 }), (site, more) =>
		site.forge({ file: (file) => Buffer.concat([file, more]) }),
	),
	variant("zeros behind the file", "E_TRAILING", fc.integer({ min: 1, max: 900_000 }), (site, n) =>
		site.forge({ file: (file) => Buffer.concat([file, Buffer.alloc(n)]) }),
	),
	variant("a second bundle behind it", "E_INDEX", fc.constantFrom("good", "other"), async (site, which) => {
		const second = await readFile(site[which as "good"].path);
		return site.forge({ file: (file) => Buffer.concat([file, second]) });
	}),
	variant("an ISO in front", "E_INDEX", fc.integer({ min: 1, max: 20 }), (site, sectors) =>
		site.forge({ file: (file) => Buffer.concat([Buffer.alloc(2048 * sectors, "CD001"), file]) }),
	),
	variant("a second archive in the tar", "E_INDEX", fc.integer({ min: 1, max: 20 }), (site, blocks) =>
		site.forge({ tar: (tar) => Buffer.concat([tar, tar.subarray(0, blocks * BLOCK)]) }),
	),
	variant(
		"an end that is not zeros",
		"E_TAR",
		fc.record({ at: fc.nat(1023), byte: fc.integer({ min: 1, max: 255 }) }),
		(site, { at, byte }) =>
			site.forge({
				tar: (tar) => {
					tar[tar.length - 1024 + at] = byte;
					return tar;
				},
			}),
	),
	variant(
		"padding that is not zeros",
		"E_TAR",
		fc.record({ at: place, byte: fc.integer({ min: 1, max: 255 }) }),
		(site, { at, byte }) =>
			site.forge({
				tar: (tar) => {
					const padded = [...site.good.index.files, ...site.good.index.blobs].filter((b) => b.size % BLOCK !== 0);
					const blob = padded[pick(at, padded.length)]!;
					tar[blob.tarOffset + blob.size + pick(at, BLOCK - (blob.size % BLOCK))] = byte;
					return tar;
				},
			}),
	),
	variant("a frame behind the data", "E_INDEX", fc.nat(2000), (site, size) =>
		site.forge({
			file: (file) => {
				const end = file.lastIndexOf(Buffer.from("572a4d18", "hex"));
				return Buffer.concat([file.subarray(0, end), zstdCompressSync(Buffer.alloc(size)), file.subarray(end)]);
			},
		}),
	),
);

export const tarFamilies: readonly Family[] = [a01, a02, a03, a04, a05];
