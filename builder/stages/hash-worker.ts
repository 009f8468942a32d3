import { createHash } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { chunksOf } from "../tools/chunks.ts";

/** A thread of hashInThread(): SHA-256 of the file that `workerData` names, in hex. */
const hash = createHash("sha256");
for await (const chunk of chunksOf(workerData as string)) hash.update(chunk);
parentPort?.postMessage(hash.digest("hex"));
