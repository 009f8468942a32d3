import { SlipwayError } from "../../bundle/errors.ts";
import type { BlobSource } from "../registry/lookup.ts";
import type { SizedBlob } from "./blob-reader.ts";
import type { TargetClient } from "./client.ts";
import type { PlannedRepository } from "./plan.ts";
import { BlobUpload, hasBlob } from "./upload.ts";

/** A blob, and the repositories of the target that must have it. */
export interface PlannedBlob extends SizedBlob {
	readonly repositories: readonly string[];
}

/** Every blob of the plan once. */
export function blobsOf(plan: readonly PlannedRepository[]): PlannedBlob[] {
	const found = new Map<string, PlannedBlob & { repositories: string[] }>();
	for (const { name, blobs } of plan) {
		for (const [digest, size] of blobs) {
			const known = found.get(digest);
			if (known === undefined) found.set(digest, { digest, size, repositories: [name] });
			else known.repositories.push(name);
		}
	}
	return [...found.values()];
}

/**
 * Brings a blob into all its repositories: sent once at most, then mounted from one to the other where the target does that.
 * `onOffset`: how many of its bytes the target has.
 */
export async function placeBlob(
	client: TargetClient,
	source: BlobSource,
	blob: PlannedBlob,
	onOffset: (offset: number) => void,
): Promise<void> {
	const there: string[] = [];
	const missing: string[] = [];
	for (const name of blob.repositories) ((await hasBlob(client, name, blob)) ? there : missing).push(name);
	for (const name of missing) {
		const mounted = there[0] === undefined ? undefined : await mount(client, name, there[0], blob);
		if (mounted !== "done") await new BlobUpload(client, name, blob, source, { location: mounted, onOffset }).run();
		there.push(name);
	}
	onOffset(blob.size);
}

/**
 * Cross-repository mount (distribution-spec 1.1): done, an upload that the target began instead, or nothing where it refuses
 * (its user may not read there, say): what an upload needs may be allowed all the same, and is refused with its own reason.
 */
async function mount(
	client: TargetClient,
	to: string,
	from: string,
	{ digest }: SizedBlob,
): Promise<"done" | URL | undefined> {
	const query = new URLSearchParams({ mount: digest, from });
	const at = `blobs/uploads/?${query}`;
	const ask = { method: "POST", repository: to, from, at, what: `mount a blob in ${to}` } as const;
	try {
		const answer = await client.request({ ...ask, headers: { "content-length": 0 } }, [201, 202]);
		return answer.status === 201 ? "done" : client.location(answer, client.url(to, at));
	} catch (error) {
		if (error instanceof SlipwayError && ["E_REGISTRY_AUTH", "E_TARGET_REFUSED"].includes(error.code)) return undefined;
		throw error;
	}
}
