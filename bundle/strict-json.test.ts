import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_DEPTH, parseStrictJson } from "./strict-json.ts";

const parse = (text: string) => parseStrictJson(Buffer.from(text));
const refused = (text: string | Buffer) =>
	expect(() => parseStrictJson(Buffer.from(text as string))).toThrow(
		expect.objectContaining({ code: "E_JSON_STRICT" }),
	);

describe("parseStrictJson", () => {
	test("takes what JSON.parse takes, for all integers and strings", () => {
		const value = fc.letrec((tie) => ({
			value: fc.oneof(
				{ maxDepth: 8 },
				fc.maxSafeInteger(),
				fc.string({ unit: "grapheme" }),
				fc.boolean(),
				fc.constant(null),
				fc.array(tie("value"), { maxLength: 4 }),
				fc.dictionary(
					fc.string({ unit: "grapheme" }).filter((k) => k !== "__proto__"),
					tie("value"),
					{ maxKeys: 4 },
				),
			),
		})).value;
		fc.assert(
			fc.property(value, fc.constantFrom(undefined, 2, "\t"), (v, space) => {
				const text = JSON.stringify(v, null, space);
				expect(parse(text)).toEqual(JSON.parse(text));
			}),
		);
	});

	test("whatever text it takes, JSON.parse gives the same value for, and no key is lost", () => {
		const token = fc.constantFrom(
			...'{}[]:,"\\ 019-.eE+tfn/u'.split(""),
			'"a"',
			'"b"',
			"true",
			"null",
			"\\u0061",
			"12",
		);
		fc.assert(
			fc.property(fc.array(token, { maxLength: 12 }), (tokens) => {
				const text = tokens.join("");
				let value: unknown;
				try {
					value = parse(text);
				} catch (error) {
					expect(error).toMatchObject({ code: "E_JSON_STRICT" });
					return;
				}
				expect(value).toEqual(JSON.parse(text));
			}),
			{ numRuns: 2000 },
		);
	});

	test.each([
		['{"a":1,"a":2}', "a duplicate key"],
		['{"a":1,"\\u0061":2}', "a duplicate key behind an escape"],
		['{"x":{"a":1,"b":[{"a":1,"a":1}]}}', "a duplicate key deep inside"],
		['{"__proto__":{}}', "__proto__"],
		['{"\\u005f_proto__":{}}', "__proto__ behind an escape"],
		["9007199254740992", "2^53"],
		["-9007199254740992", "-2^53"],
		["123456789012345678901234567890", "a large integer"],
		["1.0", "a fraction"],
		["1e2", "an exponent"],
		["01", "a leading zero"],
		["+1", "a plus sign"],
		["NaN", "NaN"],
		["\ufeff{}", "a byte order mark"],
		['"\\ud800"', "a lone high surrogate"],
		['"\\udc00"', "a lone low surrogate"],
		['"\\ud800\\ud800"', "two high surrogates"],
		['{"\\ud800":1}', "a lone surrogate in a key"],
		['"\u0000"', "a control character"],
		['"\n"', "a newline in a string"],
		['"\\x41"', "an unknown escape"],
		['"\\u00g0"', "a bad escape"],
		["[1,]", "a trailing comma"],
		["{,}", "an empty member"],
		["{a:1}", "a bare key"],
		["{}{}", "two documents"],
		["[1] x", "text behind"],
		["/**/1", "a comment"],
		["\u00a01", "a space that JSON does not know"],
		["", "nothing"],
		['{"a":', "an end too early"],
		['"abc', "a string without end"],
	])("refuses %s (%s)", (text) => refused(text));

	test("refuses invalid UTF-8, overlong forms and encoded surrogates", () => {
		for (const hex of ["22ff22", "22c08022", "22eda08022", "22c3"]) refused(Buffer.from(hex, "hex"));
	});

	test("takes the limits themselves", () => {
		const deep = (n: number) => "[".repeat(n) + "]".repeat(n);
		expect(parse("[9007199254740991,-9007199254740991,0]")).toEqual([9007199254740991, -9007199254740991, 0]);
		parse(deep(MAX_DEPTH));
		refused(deep(MAX_DEPTH + 1));
		refused(`${'{"a":'.repeat(MAX_DEPTH + 1)}1${"}".repeat(MAX_DEPTH + 1)}`);
		refused("[".repeat(1_000_000));
		expect(parse('"\\ud83d\\ude00"')).toBe("😀");
	});

	test("takes a string of megabytes", () => {
		expect(parse(JSON.stringify("x\n".repeat(2_000_000)))).toHaveLength(4_000_000);
	});
});
