import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { createServer, get } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { deviceCertificate } from "./certificate.ts";

test("made once, kept, and made again with the same key when an address is new", async () => {
	const folder = join(await tempDir(), "tls");
	const first = await deviceCertificate(folder, ["localhost", "127.0.0.1", "::1"]);
	expect(await deviceCertificate(folder, ["localhost", "127.0.0.1"])).toEqual(first);
	const second = await deviceCertificate(folder, ["localhost", "192.0.2.9"]);
	expect(second.key).toBe(first.key);
	expect(second.sha256).not.toBe(first.sha256);
	expect((await stat(join(folder, "key.pem"))).mode & 0o777).toBe(0o600);
	expect((await stat(folder)).mode & 0o777).toBe(0o700);

	const file = join(folder, "cert.pem");
	const openssl = (...args: string[]) => execFileSync("openssl", args, { encoding: "utf8" });
	expect(openssl("x509", "-in", file, "-noout", "-fingerprint", "-sha256").replaceAll(":", "").toLowerCase()).toContain(
		second.sha256,
	);
	expect(openssl("x509", "-in", file, "-noout", "-text")).toMatch(
		/Jan {2}1 00:00:00 2000[\s\S]*Dec 31 23:59:59 9999[\s\S]*prime256v1[\s\S]*IP Address:192\.0\.2\.9/,
	);
	expect(openssl("verify", "-x509_strict", "-CAfile", file, file)).toContain("OK");
});

test("damaged files are made again, and what an interrupted start left is removed", async () => {
	const folder = await tempDir();
	const first = await deviceCertificate(folder, ["localhost"]);
	await mkdir(join(folder, "issue-x1"));
	await writeFile(join(folder, "issue-x1/key.pem"), first.key);
	await truncate(join(folder, "cert.pem"), 100);
	const second = await deviceCertificate(folder, ["localhost"]);
	expect(second.key).toBe(first.key);
	expect(await readFile(join(folder, "cert.pem"), "utf8")).toBe(second.cert);
	expect((await readdir(folder)).sort()).toEqual(["cert.pem", "key.pem"]);
	await truncate(join(folder, "key.pem"), 0);
	const third = await deviceCertificate(folder, ["localhost"]);
	expect(third.key).not.toBe(first.key);
	expect(await deviceCertificate(folder, ["localhost"])).toEqual(third);
});

test("a TLS client that trusts the certificate accepts the server", async () => {
	const folder = await tempDir();
	const { key, cert } = await deviceCertificate(folder, ["localhost", "127.0.0.1"]);
	const server = createServer({ key, cert }, (_request, response) => response.end("ok"));
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	try {
		const { port } = server.address() as AddressInfo;
		const status = await new Promise((resolve, reject) => {
			get({ host: "127.0.0.1", port, ca: cert }, (response) => resolve(response.resume().statusCode)).on(
				"error",
				reject,
			);
		});
		expect(status).toBe(200);
	} finally {
		server.close();
	}
});
