import { readFile, rename, writeFile } from "node:fs/promises";
import { stringify } from "yaml";
import { z } from "zod";
import { digest } from "../../bundle/index-schema.ts";
import { API_VERSION } from "../profile/words.ts";
import { giveToCaller } from "../signing/caller.ts";
import { loadYaml } from "../yaml/load.ts";
import { lockPath } from "./definition.ts";

const lockSchema = z.strictObject({
	apiVersion: z.literal(API_VERSION),
	kind: z.literal("BundleLock"),
	images: z.record(z.string(), digest),
});

const HEAD = `# The digest that each tag had when it was first used. Commit this file; builds use these digests and no others.
# To take a newer image, remove its line, or run \`slipway bundle build\` with --update-lock.
`;

/** Digests of tags, kept in `NAME.lock.yaml` beside the definition. */
export class Lock {
	readonly #file: string;
	readonly #images: Map<string, string>;
	readonly #update: boolean;

	private constructor(file: string, images: Map<string, string>, update: boolean) {
		this.#file = file;
		this.#images = images;
		this.#update = update;
	}

	/** Reads a definition's lock; there need not be one. `update`: tags are asked for again. Errors: those of loadYaml(). */
	static async open(definition: string, update: boolean): Promise<Lock> {
		const file = lockPath(definition);
		const there = await readFile(file).then(
			() => true,
			() => false,
		);
		const known = there ? (await loadYaml(file, lockSchema, "E_BUNDLE_NOT_FOUND")).value.images : {};
		return new Lock(file, new Map(Object.entries(known)), update);
	}

	/** The digest of a tag: the one locked, else what `ask` says, which is then written down at once. */
	async resolve(image: string, ask: () => Promise<string>): Promise<string> {
		const known = this.#images.get(image);
		if (known !== undefined && !this.#update) return known;
		const answer = digest.parse(await ask());
		if (answer === known) return answer;
		this.#images.set(image, answer);
		const images = Object.fromEntries([...this.#images].sort(([a], [b]) => (a < b ? -1 : 1)));
		const temporary = `${this.#file}.${process.pid}.tmp`;
		await writeFile(
			temporary,
			HEAD + stringify({ apiVersion: API_VERSION, kind: "BundleLock", images }, { lineWidth: 0 }),
		);
		await giveToCaller(temporary);
		await rename(temporary, this.#file);
		return answer;
	}

	/** The locked digest, if there is one that counts. */
	known(image: string): string | undefined {
		return this.#update ? undefined : this.#images.get(image);
	}
}
