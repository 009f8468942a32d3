import { sha256Hex } from "../../bundle/digest.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { type Descriptor, MEDIA_TYPE } from "../../bundle/oci.ts";
import type { TargetClient } from "./client.ts";
import { answersWith, putting } from "./manifests.ts";
import { parallel } from "./parallel.ts";
import { type PlannedManifest, type PlannedRepository, untaggedRoots } from "./plan.ts";
import { codesOf, refusal } from "./refusal.ts";

/** What platform a child has that is none: attestations that build tools put beside images. */
const NO_PLATFORM = "unknown/unknown";

/**
 * Finds out, before any content is pushed, whether the target takes our image indexes with children that are not here.
 *
 * The question is an image index of a few hundred bytes that lists just the absent children of a real one, put by digest into
 * the repository that the real one goes to. It needs no content in the target, no other repository and no right that the push
 * does not need; and it is the real question: registries may demand some platforms and not others, or have a child already.
 * A registry that refuses it keeps nothing. One that takes it is asked to delete it again; where that is not allowed, a document
 * without a tag stays behind until the registry collects its garbage. Indexes that the target has already are not asked about.
 *
 * Errors: E_TARGET_SPARSE with every name that is concerned.
 */
export async function askSparse(
	client: TargetClient,
	plan: readonly PlannedRepository[],
	lanes: number,
): Promise<void> {
	const concerned: string[] = [];
	const sparse = plan.flatMap((repo) =>
		[...repo.manifests.values()].filter((m) => m.absent.length > 0).map((manifest) => ({ repo, manifest })),
	);
	await parallel(sparse, lanes, async ({ repo, manifest }) => {
		if (await answersWith(client, repo.name, manifest.digest, manifest.digest)) return;
		if (!(await isTaken(client, repo.name, manifest.absent))) concerned.push(nameOf(repo, manifest));
	});
	if (concerned.length === 0) return;
	throw new SlipwayError(
		"E_TARGET_SPARSE",
		`${client.address.host} refuses multi-arch images of which only some platforms are here: ${concerned.sort().join(", ")}.`,
	);
}

async function isTaken(client: TargetClient, repository: string, absent: readonly Descriptor[]): Promise<boolean> {
	const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: absent }));
	const digest = `sha256:${sha256Hex(bytes)}`;
	const ask = putting(repository, digest, { bytes, mediaType: MEDIA_TYPE.ociIndex });
	const answer = await client.request(ask, [201, 400, 404]);
	if (answer.status !== 201) {
		if (answer.status === 404 && codesOf(answer).includes("NAME_UNKNOWN"))
			throw refusal(client.address.host, ask.what, answer);
		return false;
	}
	const remove = { method: "DELETE", repository, at: `manifests/${digest}`, what: "delete it" } as const;
	await client.request(remove, [200, 202, 204]).catch(() => client.signal.throwIfAborted()); // it need not be allowed
	return true;
}

/**
 * `sparse: child`: each name of an index that is not whole becomes the name of the one image of it that is here; the index
 * itself is left out. Errors: E_TARGET_SPARSE where there are several such images, or a name is an index's digest.
 */
export function withChildren(repo: PlannedRepository): PlannedRepository {
	const isWhole = (manifest: PlannedManifest): boolean =>
		manifest.absent.length === 0 && manifest.children.every((child) => isWhole(repo.manifests.get(child.digest)!));
	const standIn = (manifest: PlannedManifest): string => {
		if (isWhole(manifest)) return manifest.digest;
		const images = manifest.children.filter((child) => child.platform !== NO_PLATFORM);
		if (images.length === 1) return standIn(repo.manifests.get(images[0]!.digest)!);
		const platforms = images.map((child) => child.platform ?? "one without a platform").join(", ");
		throw new SlipwayError(
			"E_TARGET_SPARSE",
			`${nameOf(repo, manifest)} holds several images (${platforms || "none"}), so none of them can stand for it.`,
			{ next: "Bring one platform of it, or all, or use a registry that takes sparse indexes." },
		);
	};
	const pinned = untaggedRoots(repo).find((manifest) => !isWhole(manifest));
	if (pinned !== undefined) {
		throw new SlipwayError(
			"E_TARGET_SPARSE",
			`${nameOf(repo, pinned)} is named by its digest, so no image can stand for it.`,
			{ next: "Bring all its platforms, give it a tag, or use a registry that takes sparse indexes." },
		);
	}
	const tags = new Map([...repo.tags].map(([tag, digest]) => [tag, standIn(repo.manifests.get(digest)!)]));
	return { ...repo, tags, manifests: new Map([...repo.manifests].filter(([, manifest]) => isWhole(manifest))) };
}

function nameOf({ original, tags }: PlannedRepository, { digest }: PlannedManifest): string {
	const tag = [...tags].find(([, tagged]) => tagged === digest)?.[0];
	return tag === undefined ? `${original}@${digest}` : `${original}:${tag}`;
}
