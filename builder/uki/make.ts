import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { type EfiSigner, signEfi } from "../tools/osslsigncode.ts";
import type { Run } from "../tools/run.ts";
import { addSections, isSigned } from "./pe.ts";

export interface UkiParts {
	/** systemd's EFI stub, which starts what stands behind it. */
	readonly stub: string;
	readonly kernel: string;
	readonly initrd: string;
	/** Words of the kernel line. */
	readonly line: readonly string[];
	readonly product: string;
	readonly version: string;
}

/**
 * A unified kernel image (UAPI Group, Unified Kernel Image specification): one EFI program with kernel, initrd and kernel line,
 * all under one signature. The same parts give the same bytes.
 */
export async function makeUki(run: Run, parts: UkiParts, signer: EfiSigner, work: string, out: string): Promise<void> {
	const { product, version, line } = parts;
	const release = [`ID=${product}`, `VERSION_ID=${version}`, `PRETTY_NAME="${product} ${version}"`, ""].join("\n");
	const program = addSections(await readFile(parts.stub), [
		{ name: ".osrel", data: Buffer.from(release) },
		{ name: ".cmdline", data: Buffer.from(line.join(" ")) },
		{ name: ".initrd", data: await readFile(parts.initrd) },
		// Last, as the specification asks, for kernels that unpack themselves where they lie.
		{ name: ".linux", data: await readFile(parts.kernel) },
	]);
	const unsigned = join(work, "uki.unsigned.efi");
	await writeFile(unsigned, program);
	await signEfi(run, unsigned, out, signer);
	if (isSigned(await readFile(out))) return;
	throw new SlipwayError("E_TOOL_FAILED", "osslsigncode wrote a program without a signature.");
}
