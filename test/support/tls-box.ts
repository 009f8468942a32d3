import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { run } from "../../builder/tools/run.ts";

export interface TlsBox {
	readonly server: Server;
	readonly port: number;
	/** Of its certificate, as its console would tell it. */
	readonly sha256: string;
}

/** A TLS server on loopback with a certificate of its own, made in `dir`. */
export async function tlsBox(dir: string, answer: RequestListener): Promise<TlsBox> {
	const cert = await selfSigned(dir, "box");
	const sha256 = new X509Certificate(cert).fingerprint256.replaceAll(":", "").toLowerCase();
	const server = createServer({ key: await readFile(join(dir, "box-key.pem")), cert }, answer);
	await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
	return { server, port: (server.address() as AddressInfo).port, sha256 };
}

/** A certificate (PEM); its key is `NAME-key.pem` beside it. */
export async function selfSigned(dir: string, name: string): Promise<string> {
	const [key, cert] = [join(dir, `${name}-key.pem`), join(dir, `${name}.pem`)];
	const make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
	await run("openssl", [...make, "-subj", "/CN=box", "-keyout", key, "-out", cert]);
	return readFile(cert, "utf8");
}
