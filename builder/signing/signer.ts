/** Signs on the build host. The algorithm follows from the key: ECDSA P-256 or P-384, or RSA of at least 3072 bits, with SHA-256. */
export interface Signer {
	/** SHA-256 of the public key's SPKI in DER, hex. */
	readonly keyId: string;
	/** SPKI in PEM, with a line of text in front for a development key. */
	readonly publicKeyPem: string;
	readonly development: boolean;
	/**
	 * Signature (DER) over the bytes whose SHA-256 is `digest`, taken from the inputs file or the cache where it is known, else
	 * made. `open` yields these bytes: a signature that came with an inputs file is checked over them. ECDSA signatures are random, so a known one must be used again for the same bytes.
	 * Errors: E_KEY_MISSING when it is not known and there is no private key.
	 */
	sign(digest: string, open: () => AsyncIterable<Uint8Array>): Promise<Buffer>;
}
