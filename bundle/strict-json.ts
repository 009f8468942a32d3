import { SlipwayError } from "./errors.ts";

/** Nesting that any document of ours keeps; an array or object counts one level. */
export const MAX_DEPTH = 32;

/**
 * Parses JSON of which every reader sees the same value: UTF-8 without a byte order mark, no duplicate keys (compared after
 * unescaping), no `__proto__`, integers only and none beyond 2^53-1, depth at most 32, no lone surrogates.
 * The scanner below decides; JSON.parse then builds the value from the same text. Errors: E_JSON_STRICT.
 */
export function parseStrictJson(bytes: Uint8Array): unknown {
	const text = decode(bytes);
	new Scanner(text).document();
	return JSON.parse(text);
}

function decode(bytes: Uint8Array): string {
	try {
		// A byte order mark stays in the text, where the scanner refuses it.
		return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
	} catch (cause) {
		throw new SlipwayError("E_JSON_STRICT", "The document is not valid UTF-8.", { cause });
	}
}

const SPACE = /[ \t\n\r]*/y;
const INTEGER = /-?(?:0|[1-9]\d*)(?![\d.eE])/y;
const LITERAL = /true|false|null/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

/** One pass over the text, refusing what RFC 8259 leaves to the reader's taste. */
class Scanner {
	readonly #text: string;
	#at = 0;

	constructor(text: string) {
		this.#text = text;
	}

	document(): void {
		this.#value(0);
		this.#match(SPACE);
		if (this.#at !== this.#text.length) this.#fail("there is more behind the value");
	}

	#value(depth: number): void {
		this.#match(SPACE);
		const c = this.#text[this.#at];
		if (c === "{") this.#object(depth + 1);
		else if (c === "[") this.#array(depth + 1);
		else if (c === '"') this.#string();
		else if (c === "-" || (c !== undefined && c >= "0" && c <= "9")) this.#number();
		else if (this.#match(LITERAL) === undefined) this.#fail("a value is missing");
	}

	#object(depth: number): void {
		this.#enter(depth);
		const seen = new Set<string>();
		if (this.#skip("}")) return;
		do {
			this.#match(SPACE);
			const key = this.#string();
			if (key === "__proto__") this.#fail('the key "__proto__" is not allowed');
			if (seen.has(key)) this.#fail(`the key ${JSON.stringify(key)} is there twice`);
			seen.add(key);
			if (!this.#skip(":")) this.#fail("a colon is missing");
			this.#value(depth);
		} while (this.#skip(","));
		if (!this.#skip("}")) this.#fail("an object does not end");
	}

	#array(depth: number): void {
		this.#enter(depth);
		if (this.#skip("]")) return;
		do this.#value(depth);
		while (this.#skip(","));
		if (!this.#skip("]")) this.#fail("an array does not end");
	}

	#enter(depth: number): void {
		if (depth > MAX_DEPTH) this.#fail(`it is nested more than ${MAX_DEPTH} levels deep`);
		this.#at += 1;
	}

	/** A loop, not one regular expression: that would overflow the engine's stack on a string of megabytes. */
	#string(): string {
		const start = this.#at;
		if (this.#text[start] !== '"') this.#fail("a string is missing");
		this.#at += 1;
		let escaped = false;
		for (;;) {
			const c = this.#text.charCodeAt(this.#at);
			if (c === 0x22) break;
			if (c === 0x5c) {
				escaped = true;
				if (this.#match(ESCAPE) === undefined) this.#fail("an escape is not valid");
			} else if (c >= 0x20) this.#at += 1;
			else this.#fail("a string is not well-formed"); // a control character, or NaN at the end of the text
		}
		this.#at += 1;
		if (!escaped) return this.#text.slice(start + 1, this.#at - 1);
		const value = JSON.parse(this.#text.slice(start, this.#at)) as string;
		if (!value.isWellFormed()) this.#fail("a string holds half of a surrogate pair");
		return value;
	}

	#number(): void {
		const raw = this.#match(INTEGER);
		if (raw === undefined) this.#fail("a number is not a plain integer");
		else if (!Number.isSafeInteger(Number(raw))) this.#fail("a number is beyond 2^53-1");
	}

	/** Takes one punctuation character, with the space in front of it. */
	#skip(char: string): boolean {
		this.#match(SPACE);
		if (this.#text[this.#at] !== char) return false;
		this.#at += 1;
		return true;
	}

	#match(pattern: RegExp): string | undefined {
		pattern.lastIndex = this.#at;
		const found = pattern.exec(this.#text)?.[0];
		if (found !== undefined) this.#at += found.length;
		return found;
	}

	#fail(what: string): never {
		throw new SlipwayError("E_JSON_STRICT", `The JSON is not strict: ${what}, at character ${this.#at}.`);
	}
}
