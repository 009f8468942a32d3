import type { Run } from "./run.ts";

export interface EfiSigner {
	/** PEM files: private key (RSA) and its certificate. */
	readonly key: string;
	readonly certificate: string;
	/** Seconds. It stands in the signature: RSA with a fixed time gives the same bytes each time. */
	readonly epoch: number;
}

/** Signs an EFI program as firmware wants it (Authenticode, SHA-256). */
export async function signEfi(run: Run, program: string, signed: string, o: EfiSigner): Promise<void> {
	const files = ["-certs", o.certificate, "-key", o.key, "-in", program, "-out", signed];
	await run("osslsigncode", ["sign", "-h", "sha256", "-time", String(o.epoch), ...files]);
}
