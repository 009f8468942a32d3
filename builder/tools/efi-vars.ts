import { SlipwayError } from "../../bundle/errors.ts";

/** A UEFI variable (UEFI specification, section 8.2). */
export interface EfiVariable {
	readonly name: string;
	readonly vendor: string;
	/** EFI_VARIABLE_… bits. */
	readonly attributes: number;
	readonly data: Uint8Array;
}

export const EFI_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const IMAGE_SECURITY_DATABASE = "d719b2cb-3d3a-4596-a3bc-dad00e67656f";
const SECURE_BOOT_ENABLE = "f0a30bc7-af08-4556-99c4-001009c93a44";
const CERT_X509 = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072";
/** Whoever put a key into firmware; any GUID may stand there. */
const OWNER = "5afe510a-9b1d-4f2e-8c57-511b3a7d0002";
/** NON_VOLATILE, BOOTSERVICE_ACCESS, RUNTIME_ACCESS. */
export const KEPT = 7;
const KEPT_AND_SIGNED = 0x27;

/** The certificate, in DER, as the one key of a machine: platform key, key exchange key and the only one that may sign programs. */
export function enrolled(certificate: Uint8Array): EfiVariable[] {
	const data = signatureList(certificate);
	return [
		{ name: "PK", vendor: EFI_GLOBAL, attributes: KEPT_AND_SIGNED, data },
		{ name: "KEK", vendor: EFI_GLOBAL, attributes: KEPT_AND_SIGNED, data },
		{ name: "db", vendor: IMAGE_SECURITY_DATABASE, attributes: KEPT_AND_SIGNED, data },
		{ name: "SecureBootEnable", vendor: SECURE_BOOT_ENABLE, attributes: 3, data: Uint8Array.of(1) },
	];
}

/** EFI_SIGNATURE_LIST with one certificate (UEFI specification, section 32.4.1). */
function signatureList(certificate: Uint8Array): Buffer {
	const sizes = Buffer.alloc(12);
	sizes.writeUInt32LE(16 + 12 + 16 + certificate.length, 0);
	sizes.writeUInt32LE(16 + certificate.length, 8);
	return Buffer.concat([guid(CERT_X509), sizes, guid(OWNER), certificate]);
}

const AUTHENTICATED_STORE = "aaf32c78-947b-439a-a180-2e144ec37792";
const STORE_HEADER = 28;
const VARIABLE_HEADER = 60;

/**
 * An image of the variables of QEMU's UEFI firmware, with these variables in place of all that were in it: in the form of EDK II
 * (VariableFormat.h: firmware volume, store, variables). Errors: E_TOOL_FAILED when the image is not in that form or too small.
 */
export function withVariables(image: Uint8Array, variables: readonly EfiVariable[]): Buffer {
	const out = Buffer.from(image);
	const store = out.length > 64 && out.toString("latin1", 40, 44) === "_FVH" ? out.readUInt16LE(48) : 0;
	if (store === 0 || !out.subarray(store, store + 16).equals(guid(AUTHENTICATED_STORE)))
		throw new SlipwayError("E_TOOL_FAILED", "The firmware's variables are not in the form that is known here.");
	const end = store + out.readUInt32LE(store + 16);
	let at = store + STORE_HEADER;
	out.fill(0xff, at, end);
	for (const record of variables.map(recordOf)) {
		if (at + record.length > end)
			throw new SlipwayError("E_TOOL_FAILED", "The firmware's image has no room for these variables.");
		record.copy(out, at);
		at = (at + record.length + 3) & ~3;
	}
	return out;
}

/** AUTHENTICATED_VARIABLE_HEADER, name and data; counter, time and key index stay zero. */
function recordOf({ name, vendor, attributes, data }: EfiVariable): Buffer {
	const text = Buffer.from(`${name}\0`, "utf16le");
	const header = Buffer.alloc(VARIABLE_HEADER);
	header.writeUInt16LE(0x55aa, 0); // VARIABLE_DATA
	header.writeUInt8(0x3f, 2); // VAR_ADDED
	header.writeUInt32LE(attributes, 4);
	header.writeUInt32LE(text.length, 36);
	header.writeUInt32LE(data.length, 40);
	guid(vendor).copy(header, 44);
	return Buffer.concat([header, text, data]);
}

/** A GUID's bytes: the first three groups are little-endian. */
function guid(text: string): Buffer {
	const bytes = Buffer.from(text.replaceAll("-", ""), "hex");
	bytes.subarray(0, 4).reverse();
	bytes.subarray(4, 6).reverse();
	bytes.subarray(6, 8).reverse();
	return bytes;
}
