import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seededBytes } from "../test/support/bundles.ts";
import type { ErrorCode } from "./errors.ts";
import { END_SIZE, entryLength, headerLength, paddingOf, TarChecker, type TarEntry, tarHeader } from "./tar.ts";

const short: TarEntry = { name: `blobs/sha256/${"a".repeat(64)}`, size: 700 };
const long: TarEntry = { name: `blobs/sha512/${"b".repeat(128)}`, size: 3 };
const empty: TarEntry = { name: `blobs/sha256/${"c".repeat(64)}`, size: 0 };
const entries = [short, long, empty];
const dataOf = (entry: TarEntry) => seededBytes(entry.name, entry.size);

function tarOf(list: readonly TarEntry[]): Buffer {
	const parts = list.flatMap((e) => [tarHeader(e), dataOf(e), Buffer.alloc(paddingOf(e.size))]);
	return Buffer.concat([...parts, Buffer.alloc(END_SIZE)]);
}

/** Runs the checker over chunks and gives the data of each entry. */
function check(chunks: readonly Buffer[], list: readonly TarEntry[] = entries): Buffer[] {
	const checker = new TarChecker(list);
	const found = list.map(() => [] as Buffer[]);
	const ended = new Set<number>();
	for (const chunk of chunks) {
		for (const { entry, data, last } of checker.push(chunk)) {
			expect(ended.has(entry)).toBe(false);
			found[entry]!.push(Buffer.from(data));
			if (last) ended.add(entry);
		}
	}
	checker.end();
	expect(ended.size).toBe(list.length);
	return found.map((parts) => Buffer.concat(parts));
}

const refused = (code: ErrorCode, tar: Buffer, list = entries) =>
	expect(() => check([tar], list)).toThrow(expect.objectContaining({ code }));

/** The tar with one header's field replaced and its checksum made right again. */
function patched(tar: Buffer, header: number, offset: number, text: string): Buffer {
	const out = Buffer.from(tar);
	out.write(text, header + offset, "latin1");
	out.fill(" ", header + 148, header + 156);
	const sum = out.subarray(header, header + 512).reduce((a, b) => a + b, 0);
	out.write(`${sum.toString(8).padStart(6, "0")}\0 `, header + 148, "latin1");
	return out;
}

describe("the one tar", () => {
	test("the checker gives back the data, however the tar is cut", () => {
		const tar = tarOf(entries);
		const expected = entries.map(dataOf);
		expect(check([tar])).toEqual(expected);
		expect(check([...tar].map((byte) => Buffer.from([byte])))).toEqual(expected);
		fc.assert(
			fc.property(fc.uniqueArray(fc.nat({ max: tar.length })), (cuts) => {
				const at = [0, ...cuts.sort((a, b) => a - b), tar.length];
				expect(check(at.slice(1).map((end, i) => tar.subarray(at[i], end)))).toEqual(expected);
			}),
		);
	});

	test("lengths: with and without PAX", () => {
		expect(headerLength(short)).toBe(512);
		expect(headerLength(long)).toBe(3 * 512);
		expect(entryLength(long)).toBe(4 * 512);
		expect(entryLength(empty)).toBe(512);
		expect(tarHeader(long).toString("latin1", 512, 512 + 19)).toBe("151 path=blobs/sha5");
	});

	test("8 GiB - 1 fits ustar, one byte more needs PAX", () => {
		const most = { name: short.name, size: 8 * 2 ** 30 - 1 };
		expect(headerLength(most)).toBe(512);
		expect(tarHeader(most).toString("latin1", 124, 135)).toBe("77777777777");
		const more = { name: short.name, size: 8 * 2 ** 30 };
		expect(headerLength(more)).toBe(1536);
		expect(tarHeader(more).toString("latin1", 512, 512 + 19)).toBe("19 size=8589934592\n");
		expect(tarHeader(more).toString("latin1", 1024 + 124, 1024 + 135)).toBe("00000000000");
		const both = tarHeader({ name: long.name, size: 2 ** 40 });
		expect(both.toString("latin1", 512)).toContain(`path=${long.name}\n22 size=1099511627776\n`);
	});

	test("every flipped byte that is not data is refused", () => {
		const tar = tarOf(entries);
		const data = entries.map((e, i) => {
			const start = entries.slice(0, i).reduce((sum, x) => sum + entryLength(x), 0) + headerLength(e);
			return [start, start + e.size] as const;
		});
		for (let i = 0; i < tar.length; i++) {
			if (data.some(([from, to]) => i >= from && i < to)) continue;
			const bad = Buffer.from(tar);
			bad[i]! ^= 1 << (i % 8);
			expect(() => check([bad])).toThrow(
				expect.objectContaining({ code: expect.stringMatching(/^E_(TAR|ENTRY_\w+)$/) }),
			);
		}
	});

	test("every cut is refused, and so is one byte too many", () => {
		const tar = tarOf(entries);
		for (let size = 0; size < tar.length; size += 37) refused("E_TRUNCATED", tar.subarray(0, size));
		refused("E_TRUNCATED", tar.subarray(0, -1));
		refused("E_TRAILING", Buffer.concat([tar, Buffer.alloc(1)]));
		refused("E_TRAILING", Buffer.concat([tar, tar]));
	});

	test("names of attacks: traversal, absolute, backslash, case, another blob", () => {
		const tar = tarOf(entries);
		const names = [
			"../etc/passwd",
			"/etc/passwd",
			"blobs\\sha256\\x",
			short.name.toUpperCase(),
			`${short.name.slice(0, -1)}b`,
		];
		for (const name of names) refused("E_ENTRY_NAME", patched(tar, 0, 0, name.padEnd(100, "\0")));
	});

	test.each(["1", "2", "3", "4", "5", "6", "7", "g", "L", "S", "\0"])("an entry of type %j", (type) => {
		refused("E_ENTRY_TYPE", patched(tarOf(entries), 0, 156, type));
	});

	test("an entry twice, and one left out", () => {
		const twice = [short, { ...empty, name: `blobs/sha256/${"d".repeat(64)}` }];
		refused("E_ENTRY_DUP", tarOf([short, short]), twice);
		refused("E_ENTRY_NAME", tarOf([short, empty]));
		refused("E_ENTRY_NAME", tarOf([long, short, empty].slice(1)), [empty, short]);
	});

	test("another size, owner, mode, time, link name, or octal form of the same size", () => {
		const tar = tarOf(entries);
		const fields: [number, string][] = [
			[124, "00000001275"],
			[124, "-0000001274"],
			[124, " 0000001274"],
			[124, "\x80\0\0\0\0\0\0\0\0\0\x02\xbc"],
			[100, "0000755"],
			[108, "0000001"],
			[136, "00000000001"],
			[157, "/etc/shadow"],
			[345, "prefix"],
		];
		for (const [offset, text] of fields) refused("E_TAR", patched(tar, 0, offset, text));
	});

	test("PAX records other than those that belong there", () => {
		const tar = tarOf(entries);
		const pax = entryLength(short) + 512;
		const other = Buffer.from(tar);
		other.write("size=", pax + 4);
		refused("E_TAR", other);
	});
});
