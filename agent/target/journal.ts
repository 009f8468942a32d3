import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseStrictJson } from "../../bundle/strict-json.ts";
import { z } from "../../bundle/zod.ts";
import { replaceFile } from "../store/files.ts";

const journal = z.strictObject({
	format: z.literal(1),
	/** The address that it is about, for people. */
	target: z.string(),
	/** Id of the plan. */
	plan: z.string(),
	/** `content`: no tag was touched; `tags`: all content is there, tags may or may not be; `done`: every tag has answered. */
	step: z.enum(["content", "tags", "done"]),
	/** `repository:tag` → digest, while they are being put. */
	tags: z.record(z.string(), z.string()),
});
type Journal = z.infer<typeof journal>;

/**
 * How far the load into the target is, durable. It only ever saves work: what it says is asked of the target again before
 * anything is believed, so one that is lost or damaged costs a look at every blob.
 */
export class TargetJournal {
	readonly #file: string;

	/** `folder`: the store's `state`. */
	constructor(folder: string) {
		this.#file = join(folder, "target.json");
	}

	/** Whether that plan was once carried out whole. */
	async isDone(plan: string): Promise<boolean> {
		const text = await readFile(this.#file).catch(() => undefined);
		if (text === undefined) return false;
		try {
			const found = journal.parse(parseStrictJson(text));
			return found.plan === plan && found.step === "done";
		} catch {
			return false;
		}
	}

	/** Errors: E_IO is the caller's to tell; the file is the old one or the new one. */
	async write(now: Omit<Journal, "format">): Promise<void> {
		await replaceFile(this.#file, `${JSON.stringify({ format: 1, ...now }, null, "\t")}\n`, 0o600);
	}
}
