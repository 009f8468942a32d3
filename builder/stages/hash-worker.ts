import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";

/** A thread of hashInThread(): SHA-256 of the file that `workerData` names, in hex. */
const hash = createHash("sha256");
for await (const chunk of createReadStream(workerData as string, { highWaterMark: 1 << 20 })) hash.update(chunk);
parentPort?.postMessage(hash.digest("hex"));
