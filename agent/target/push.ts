import type { ApplianceConfig } from "../../bundle/appliance.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import type { BlobSource } from "../registry/lookup.ts";
import type { View } from "../registry/view.ts";
import { parseTarget } from "./address.ts";
import { blobsOf, placeBlob } from "./blobs.ts";
import { TargetClient } from "./client.ts";
import { TargetJournal } from "./journal.ts";
import { answersWith, putManifest } from "./manifests.ts";
import { parallel } from "./parallel.ts";
import { inWaves, type PlannedManifest, type PlannedRepository, planId, planPush, untaggedRoots } from "./plan.ts";
import { listReferrers } from "./referrers.ts";
import { PACE, type Pace, Transient } from "./retry.ts";
import { askSparse, withChildren } from "./sparse.ts";

/** Things in flight at a time. */
const LANES = 4;

export interface TargetProgress {
	readonly blobsDone: number;
	readonly blobsTotal: number;
	readonly bytesDone: number;
	readonly bytesTotal: number;
}

export interface TargetPush {
	readonly config: ApplianceConfig["registry"];
	/** What the committed set shows, and where its bytes come from: both hold verified content only. */
	readonly view: View;
	readonly blobs: BlobSource;
	/** The store's `state` folder. */
	readonly folder: string;
	readonly onProgress?: (progress: TargetProgress) => void;
	readonly signal: AbortSignal;
	readonly pace?: Pace;
}

/**
 * Loads what the registry shows into another registry, over the push side of distribution-spec 1.1: blobs, then manifests, each
 * after what it leads to, then the lists of referrers, then tags. When it returns every tag has answered with its digest. It may
 * be cut off at any instant and called again: no tag is put before all that it leads to is there. What is there already is not
 * sent; after a push that was whole only the names are asked for.
 *
 * Errors: E_CONFIG, E_TARGET_NAME, E_TARGET_SPARSE, E_TARGET_REFUSED, E_REGISTRY_AUTH, E_REGISTRY_UNREACHABLE, those of the
 * source, and the signal's reason.
 */
export async function pushToTarget(push: TargetPush): Promise<void> {
	const { config, view, blobs, signal } = push;
	const address = parseTarget(config.target ?? "");
	const whole = await planPush(view, blobs, address);
	const plan = config.sparse === "child" ? whole.map(withChildren) : whole;
	const journal = new TargetJournal(push.folder);
	const note = { target: config.target ?? "", plan: planId(address, plan) };
	const client = await TargetClient.open(address, config, push.pace ?? PACE, signal);
	try {
		if ((await journal.isDone(note.plan)) && (await isThere(client, plan))) return;
		await askSparse(client, plan, LANES);
		await journal.write({ ...note, step: "content", tags: {} });
		await pushBlobs(client, plan, push);
		await pushManifests(client, plan, blobs);
		await pushReferrers(client, plan);
		await journal.write({
			...note,
			step: "tags",
			tags: Object.fromEntries(allTags(plan).map((t) => [t.name, t.digest])),
		});
		await pushTags(client, plan, blobs);
		await journal.write({ ...note, step: "done", tags: {} });
	} finally {
		client.close();
	}
}

interface Tag {
	readonly repo: PlannedRepository;
	readonly tag: string;
	readonly digest: string;
	readonly name: string;
}

function allTags(plan: readonly PlannedRepository[]): Tag[] {
	return plan.flatMap((repo) =>
		[...repo.tags].map(([tag, digest]) => ({ repo, tag, digest, name: `${repo.name}:${tag}` })),
	);
}

/** Whether every name of ours answers as it should: tags, and what has no tag. */
async function isThere(client: TargetClient, plan: readonly PlannedRepository[]): Promise<boolean> {
	const roots = plan.flatMap((repo) => untaggedRoots(repo).map(({ digest }) => ({ repo, tag: digest, digest })));
	let there = true;
	await parallel([...allTags(plan), ...roots], LANES, async ({ repo, tag, digest }) => {
		if (!(await answersWith(client, repo.name, tag, digest))) there = false;
	});
	return there;
}

async function pushBlobs(client: TargetClient, plan: readonly PlannedRepository[], push: TargetPush): Promise<void> {
	const all = blobsOf(plan);
	const bytesTotal = all.reduce((sum, blob) => sum + blob.size, 0);
	let [blobsDone, bytesDone] = [0, 0];
	const tell = () => push.onProgress?.({ blobsDone, blobsTotal: all.length, bytesDone, bytesTotal });
	tell();
	await parallel(all, LANES, async (blob) => {
		let known = 0;
		await placeBlob(client, push.blobs, blob, (offset) => {
			bytesDone += offset - known;
			known = offset;
			tell();
		});
		blobsDone++;
		tell();
	});
}

async function pushManifests(
	client: TargetClient,
	plan: readonly PlannedRepository[],
	source: BlobSource,
): Promise<void> {
	const waves: { repo: PlannedRepository; manifest: PlannedManifest }[][] = [];
	for (const repo of plan) {
		for (const [i, wave] of inWaves(repo).entries()) {
			waves[i] = [...(waves[i] ?? []), ...wave.map((manifest) => ({ repo, manifest }))];
		}
	}
	for (const wave of waves) {
		await parallel(wave, LANES, async ({ repo, manifest }) => {
			const { digest, size, mediaType } = manifest;
			if (await answersWith(client, repo.name, digest, digest)) return;
			const bytes = await source.read(digest, size);
			await putManifest(client, repo.name, digest, { bytes, mediaType });
		});
	}
}

async function pushReferrers(client: TargetClient, plan: readonly PlannedRepository[]): Promise<void> {
	const lists = plan.flatMap((repo) => [...repo.referrers].map(([subject, ours]) => ({ repo, subject, ours })));
	await parallel(lists, LANES, ({ repo, subject, ours }) => {
		const pushed = ours.filter(({ digest }) => repo.manifests.has(digest));
		return listReferrers(client, repo.name, subject, pushed);
	});
}

/** Puts each tag and asks for it until it answers with its digest. */
async function pushTags(client: TargetClient, plan: readonly PlannedRepository[], source: BlobSource): Promise<void> {
	await parallel(allTags(plan), LANES, async ({ repo, tag, digest, name }) => {
		const manifest = repo.manifests.get(digest);
		if (manifest === undefined) throw new SlipwayError("E_INTERNAL", `${name} leads to no manifest of the plan.`);
		await client.patiently(async () => {
			if (await answersWith(client, repo.name, tag, digest)) return;
			const bytes = await source.read(digest, manifest.size);
			await putManifest(client, repo.name, tag, { bytes, mediaType: manifest.mediaType });
			if (!(await answersWith(client, repo.name, tag, digest)))
				throw new Transient(`${name} does not answer with its digest`);
		});
	});
}
