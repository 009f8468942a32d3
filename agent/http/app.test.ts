import { request } from "node:https";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { deviceCertificate } from "../tls/certificate.ts";
import { createApp, listen } from "./app.ts";

const MOST = 32;

async function startTls() {
	const tls = await deviceCertificate(await tempDir(), ["localhost", "127.0.0.1"]);
	const app = createApp({ tls, hosts: () => ["127.0.0.1"], maxConnections: MOST });
	app.get("/", async () => "ok");
	onTestFinished(() => app.close());
	return { app, port: await listen(app, "loopback", 0), ca: tls.cert };
}

/** Connections that say nothing; `closed` counts those that the server has ended. */
function connectIdle(port: number, count: number) {
	const idle = { open: 0, closed: 0 };
	for (let i = 0; i < count; i++) {
		const socket: Socket = connect(port, "127.0.0.1");
		socket
			.on("connect", () => idle.open++)
			.on("error", () => undefined)
			.on("close", () => idle.closed++);
		onTestFinished(() => void socket.destroy());
	}
	return idle;
}

const ask = (port: number, ca: string, localAddress: string) =>
	new Promise<number | undefined>((resolve, reject) => {
		request({ host: "127.0.0.1", port, ca, localAddress, agent: false, timeout: 5_000 }, (response) =>
			resolve(response.resume().statusCode),
		)
			.on("timeout", () => reject(new Error("no answer")))
			.on("error", reject)
			.end();
	});

test("one address cannot take every connection of the TLS endpoint", async () => {
	const { port, ca } = await startTls();
	const idle = connectIdle(port, 2 * MOST);
	await expect.poll(() => idle.closed).toBeGreaterThanOrEqual(2 * MOST - 8);
	expect(await ask(port, ca, "127.0.0.2")).toBe(200);
	await expect(ask(port, ca, "127.0.0.1")).rejects.toThrow();
});

test("connections that say nothing do not hold up the end", async () => {
	const { app, port } = await startTls();
	const idle = connectIdle(port, 3);
	await expect.poll(() => idle.open).toBe(3);
	await app.close();
	await expect.poll(() => idle.closed).toBe(3);
});

test("a connection without a handshake ends within seconds, and its place is free again", async () => {
	const { port, ca } = await startTls();
	const idle = connectIdle(port, 8);
	await expect.poll(() => idle.closed).toBe(8);
	expect(await ask(port, ca, "127.0.0.1")).toBe(200);
});

test("what is no HTTP gets a 400, but not in the place of an answer that is still to come", async () => {
	const app = createApp({ tls: undefined, hosts: () => ["127.0.0.1"], maxConnections: MOST });
	let asked = 0;
	const never = Promise.withResolvers<string>();
	app.get("/slow", () => {
		asked++;
		return never.promise;
	});
	onTestFinished(() => app.close());
	const port = await listen(app, "loopback", 0);
	const say = (before: string) => {
		const socket = connect(port, "127.0.0.1").setEncoding("latin1");
		socket.on("error", () => undefined).write(before);
		return { socket, said: text(socket).catch(() => "") };
	};
	expect(await say("garbage\r\n\r\n").said).toMatch(/^HTTP\/1\.1 400 /);
	const { socket, said } = say("GET /slow HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
	await expect.poll(() => asked).toBe(1);
	socket.write("garbage\r\n\r\n");
	expect(await said).toBe("");
});
