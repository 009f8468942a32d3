import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { SlipwayError } from "../../bundle/errors.ts";

export interface QmpCommand {
	readonly execute: string;
	readonly arguments?: Record<string, unknown>;
}

const TIMEOUT_MS = 30_000;

/** Gives commands to a running QEMU over the socket of its machine protocol, one after the other. Errors: E_TOOL_FAILED, E_IO. */
export async function qmp(socket: string, commands: readonly QmpCommand[]): Promise<void> {
	const connection = connect(socket);
	try {
		await once(connection, "connect");
		let failure: Error | undefined;
		connection.on("error", (error) => (failure = error));
		connection.setTimeout(TIMEOUT_MS, () => connection.destroy());
		const lines = createInterface({ input: connection })[Symbol.asyncIterator]();
		await lines.next(); // its greeting
		for (const command of [{ execute: "qmp_capabilities" }, ...commands]) {
			connection.write(`${JSON.stringify(command)}\n`);
			await answer(lines, command.execute);
		}
		if (failure !== undefined) throw failure;
	} catch (error) {
		if (error instanceof SlipwayError) throw error;
		throw new SlipwayError("E_IO", `QEMU cannot be asked: ${(error as Error).message}`, { cause: error });
	} finally {
		connection.destroy();
	}
}

/** Events may stand between a command and its answer. */
async function answer(lines: AsyncIterator<string>, command: string): Promise<void> {
	for (;;) {
		const line = await lines.next();
		if (line.done === true) throw new SlipwayError("E_TOOL_FAILED", `QEMU did not answer ${command}.`);
		const reply = JSON.parse(line.value) as { return?: unknown; error?: { desc: string } };
		if (reply.error !== undefined)
			throw new SlipwayError("E_TOOL_FAILED", `QEMU refused ${command}: ${reply.error.desc}`);
		if (reply.return !== undefined) return;
	}
}
