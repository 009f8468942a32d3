import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { SlipwayError } from "../../bundle/errors.ts";
import type { Profile } from "../profile/schema.ts";

/** What signs a build's unified kernel image. The private key itself is a secret of the stage. */
export interface UkiSigner {
	/** PEM; part of what the build makes. */
	readonly certificate: string;
}

/** What all firmware takes; larger keys are refused by some. */
const RSA_BITS = [2048, 3072, 4096];

/**
 * Reads key (UKI_KEY=) and certificate (UKI_CERT=), PEM files, and checks that they are a pair that firmware takes; null for a
 * profile without `boot: uki`. Errors: E_KEY_MISSING, E_KEY_WEAK.
 */
export async function openUkiSigner({ name, boot }: Pick<Profile, "name" | "boot">, env: NodeJS.ProcessEnv) {
	if (boot !== "uki") return null;
	const [keyFile, key] = await readPem(name, env, "UKI_KEY", (pem) => createPrivateKey({ key: pem, passphrase: "" }));
	const [file, certificate] = await readPem(name, env, "UKI_CERT", (pem) => new X509Certificate(pem));
	if (!certificate.checkPrivateKey(key)) {
		throw new SlipwayError("E_KEY_MISSING", `The certificate in ${file} is not that of the key in ${keyFile}.`, {
			next: "Set UKI_KEY= and UKI_CERT= to a key and its own certificate.",
		});
	}
	checkKind(key, keyFile);
	const signer: UkiSigner = { certificate: certificate.toString() };
	return signer;
}

function checkKind(key: KeyObject, file: string): void {
	const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
	if (key.asymmetricKeyType === "rsa" && RSA_BITS.includes(bits)) return;
	const kind = key.asymmetricKeyType === "rsa" ? `RSA of ${bits} bits` : key.asymmetricKeyType;
	throw new SlipwayError("E_KEY_WEAK", `${file} is ${kind}; firmware checks signatures of RSA keys.`, {
		next: `Use an RSA key of ${RSA_BITS.join(", ")} bits for UKI_KEY=.`,
	});
}

async function readPem<T>(
	profile: string,
	env: NodeJS.ProcessEnv,
	variable: "UKI_KEY" | "UKI_CERT",
	parse: (pem: string) => T,
): Promise<[string, T]> {
	const file = env[variable] ?? "";
	const what = variable === "UKI_KEY" ? "private key without a passphrase" : "certificate";
	const missing = (why: string) =>
		new SlipwayError("E_KEY_MISSING", `${profile} has \`boot: uki\`, and ${why}.`, {
			next: `Set ${variable}= to a PEM file with your own ${what}, or use \`boot: grub\`.`,
		});
	if (file === "") throw missing(`${variable}= is not set`);
	const pem = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
		throw missing(`${file} cannot be read (${error.code})`);
	});
	try {
		return [file, parse(pem)];
	} catch {
		// The cause is left out: OpenSSL's message may quote what it read.
		throw missing(`${file} holds no ${what}`);
	}
}
