/** DER by hand, right or wrong, for signatures and keys that no library would write. */

/** Tag, length in its shortest form, content. */
export function der(tag: number, content: Buffer): Buffer {
	const length = content.length;
	if (length < 128) return Buffer.concat([Buffer.from([tag, length]), content]);
	const bytes = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
	return Buffer.concat([Buffer.from([tag, ...bytes]), content]);
}

/** The content of an INTEGER, minimal; negative ones in two's complement. */
export function integerBytes(value: bigint): Buffer {
	let size = 1;
	while (value < -(1n << BigInt(8 * size - 1)) || value >= 1n << BigInt(8 * size - 1)) size++;
	const hex = BigInt.asUintN(8 * size, value).toString(16);
	return Buffer.from(hex.padStart(2 * size, "0"), "hex");
}

export function integer(value: bigint): Buffer {
	return der(0x02, integerBytes(value));
}

/** Contents of the two INTEGERs of a right ECDSA signature. */
export function readPair(signature: Buffer): { r: Buffer; s: Buffer } {
	const end = 4 + signature[3]!;
	return { r: signature.subarray(4, end), s: signature.subarray(end + 2) };
}
