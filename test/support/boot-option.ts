import { EFI_GLOBAL, type EfiVariable, KEPT } from "../../builder/tools/efi-vars.ts";

const NUMBER = 0x5afe;

/**
 * Variables with which firmware starts a program next, once, with these words as its load options: what an attacker with a shell
 * of the firmware would set (UEFI specification, sections 3.1.3 and 10.3.5.4).
 */
export function bootNext(path: string, words: string): EfiVariable[] {
	const name = utf16(path);
	const node = Buffer.alloc(4);
	node.writeUInt8(4, 0); // media
	node.writeUInt8(4, 1); // file path
	node.writeUInt16LE(4 + name.length, 2);
	const files = Buffer.concat([node, name, Buffer.from([0x7f, 0xff, 4, 0])]);
	const head = Buffer.alloc(6);
	head.writeUInt32LE(1, 0); // LOAD_OPTION_ACTIVE
	head.writeUInt16LE(files.length, 4);
	const option = Buffer.concat([head, utf16("outside"), files, utf16(words)]);
	const number = Buffer.alloc(2);
	number.writeUInt16LE(NUMBER);
	const common = { vendor: EFI_GLOBAL, attributes: KEPT };
	return [
		{ ...common, name: `Boot${NUMBER.toString(16).toUpperCase()}`, data: option },
		{ ...common, name: "BootNext", data: number },
	];
}

function utf16(text: string): Buffer {
	return Buffer.from(`${text}\0`, "utf16le");
}
