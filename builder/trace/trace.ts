import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { displayPath } from "../yaml/load.ts";
import { recordSpans } from "./record.ts";

export interface Tracing {
	/** The folder that gets the trace: that of the build's logs. */
	folder: string;
	/** Path of the trace, known before it is written. */
	readonly file: string;
}

/**
 * Does the work and then, however it ended, writes where its time went as `trace.json` into `folder`, in the Chrome trace format
 * (chrome://tracing and other viewers open it), and says where it is. `work` may name another folder before it ends.
 */
export async function traced<T>(folder: string, work: (tracing: Tracing) => Promise<T>): Promise<T> {
	const tracing = {
		folder,
		get file() {
			return path.join(this.folder, "trace.json");
		},
	};
	const recording = recordSpans();
	const write = async () => {
		const traceEvents = recording.stop();
		await mkdir(tracing.folder, { recursive: true });
		await writeFile(tracing.file, `${JSON.stringify({ displayTimeUnit: "ms", traceEvents }, null, "\t")}\n`);
		process.stderr.write(`Trace: ${displayPath(tracing.file)}\n`);
	};
	let result: T;
	try {
		result = await work(tracing);
	} catch (error) {
		// On a full disk both fail, and why the work failed is what matters.
		await write().catch((cause: Error) => process.stderr.write(`Trace: not written (${cause.message}).\n`));
		throw error;
	}
	await write();
	return result;
}
