import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { qmp } from "./qmp.ts";

/** A QEMU that notes what it is told, and answers each command with the lines that `reply` gives; null: it hangs up. */
async function fakeQemu(reply: (command: string) => string[] | null) {
	const socket = join(await tempDir(), "qmp.sock");
	const told: string[] = [];
	const server = createServer((connection) => {
		connection.write('{"QMP": {"version": {}, "capabilities": []}}\r\n');
		createInterface({ input: connection }).on("line", (line) => {
			const { execute } = JSON.parse(line) as { execute: string };
			told.push(execute);
			const lines = reply(execute);
			if (lines === null) connection.end();
			else for (const one of lines) connection.write(`${one}\r\n`);
		});
	});
	await new Promise<void>((done) => server.listen(socket, done));
	onTestFinished(() => void server.close());
	return { socket, told };
}

const EVENT = '{"event": "DEVICE_DELETED", "data": {"device": "stick"}}';

test("commands go one after the other, whatever events come in between", async () => {
	const { socket, told } = await fakeQemu(() => [EVENT, '{"return": {}}', EVENT]);
	await qmp(socket, [{ execute: "device_del", arguments: { id: "stick" } }, { execute: "cont" }]);
	expect(told).toEqual(["qmp_capabilities", "device_del", "cont"]);
});

test("a refusal, a hang-up and a QEMU that is not there are told, and nothing more is sent", async () => {
	const refused = '{"error": {"class": "DeviceNotFound", "desc": "no such device"}}';
	const refusing = await fakeQemu((command) => [command === "device_del" ? refused : '{"return": {}}']);
	await expect(qmp(refusing.socket, [{ execute: "device_del" }, { execute: "cont" }])).rejects.toMatchObject({
		code: "E_TOOL_FAILED",
		message: "QEMU refused device_del: no such device",
	});
	expect(refusing.told).not.toContain("cont");
	const silent = await fakeQemu((command) => (command === "cont" ? null : ['{"return": {}}']));
	await expect(qmp(silent.socket, [{ execute: "cont" }])).rejects.toMatchObject({ code: "E_TOOL_FAILED" });
	await expect(qmp(`${silent.socket}.none`, [])).rejects.toMatchObject({ code: "E_IO" });
});
