import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { replaceFile } from "../store/files.ts";
import { openssl } from "./openssl.ts";

export interface Certificate {
	readonly key: string;
	/** PEM. */
	readonly cert: string;
	/** SHA-256 of the DER form, lower-case hex. */
	readonly sha256: string;
}

/**
 * The device's own certificate (ECDSA P-256, self-signed), kept in `folder`: made at the first start, the key readable by
 * the agent alone, and made again with the same key when it does not cover one of `hosts` (a new address, say).
 * Its validity starts long ago and never ends, because an appliance may have no clock. A file that a crash or a bad disk left
 * unreadable counts as none. Errors: E_TOOL_MISSING, E_TOOL_FAILED.
 */
export async function deviceCertificate(folder: string, hosts: readonly string[]): Promise<Certificate> {
	await mkdir(folder, { recursive: true, mode: 0o700 });
	await removeUnfinished(folder);
	const keyFile = join(folder, "key.pem");
	const certFile = join(folder, "cert.pem");
	const keptKey = await readIfThere(keyFile);
	const key = keptKey !== undefined && isKey(keptKey) ? keptKey : await makeKey(folder, keyFile);
	const kept = await readIfThere(certFile);
	if (kept !== undefined && fits(kept, key, hosts)) return describe(key, kept);
	const cert = await issue(folder, hosts);
	await replaceFile(certFile, cert);
	return describe(key, cert);
}

function describe(key: string, cert: string): Certificate {
	const sha256 = new X509Certificate(cert).fingerprint256.replaceAll(":", "").toLowerCase();
	return { key, cert, sha256 };
}

function fits(pem: string, key: string, hosts: readonly string[]): boolean {
	try {
		const cert = new X509Certificate(pem);
		return (
			cert.checkPrivateKey(createPrivateKey(key)) &&
			hosts.every((host) => (isIP(host) ? cert.checkIP(host) : cert.checkHost(host)) !== undefined)
		);
	} catch {
		return false;
	}
}

function isKey(pem: string): boolean {
	try {
		return createPrivateKey(pem).asymmetricKeyType === "ec";
	} catch {
		return false;
	}
}

/** What a start that was cut short left behind. */
async function removeUnfinished(folder: string): Promise<void> {
	for (const name of await readdir(folder)) {
		if (name.startsWith("issue-")) await rm(join(folder, name), { recursive: true, force: true });
	}
}

async function makeKey(folder: string, file: string): Promise<string> {
	const pem = await openssl(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], folder);
	await replaceFile(file, pem, 0o600);
	return pem;
}

/** `openssl ca -selfsign` and not `req -x509`: only newer versions of the latter can set the start of the validity. */
async function issue(folder: string, hosts: readonly string[]): Promise<string> {
	const work = await mkdtemp(join(folder, "issue-"));
	try {
		await writeFile(join(work, "index.txt"), "");
		await writeFile(join(work, "ca.cnf"), settings(hosts));
		await openssl(["req", "-new", "-config", "ca.cnf", "-key", "../key.pem", "-out", "request.pem"], work);
		const validity = ["-startdate", "20000101000000Z", "-enddate", "99991231235959Z"];
		const paths = ["-config", "ca.cnf", "-keyfile", "../key.pem", "-in", "request.pem", "-out", "cert.pem"];
		await openssl(["ca", "-batch", "-notext", "-selfsign", ...validity, ...paths], work);
		return await readFile(join(work, "cert.pem"), "utf8");
	} finally {
		await rm(work, { recursive: true, force: true });
	}
}

function settings(hosts: readonly string[]): string {
	const names = hosts.map((host) => `${isIP(host) ? "IP" : "DNS"}:${host}`).join(",");
	return `[req]
distinguished_name = name
prompt = no
[name]
CN = Slipway appliance
[ca]
default_ca = device
[device]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = policy
x509_extensions = extensions
[policy]
commonName = supplied
[extensions]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
subjectAltName = ${names}
`;
}

function readIfThere(file: string): Promise<string | undefined> {
	return readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
		if (error.code === "ENOENT") return undefined;
		throw error;
	});
}
