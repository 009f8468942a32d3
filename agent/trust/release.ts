import { stat } from "node:fs/promises";
import { join } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import type { ContentRelease, IsoRelease } from "../../bundle/index-schema.ts";
import { readSmall } from "../../bundle/read.ts";
import { MAX_RELEASE, readIsoRelease, readRelease } from "../../bundle/release.ts";
import type { Trust } from "../../bundle/trust.ts";

export interface SignedRelease {
	readonly release: ContentRelease;
	/** SHA-256 of the payload. */
	readonly digest: string;
	readonly development: boolean;
	/** The file's bytes. */
	readonly bytes: Buffer;
}

/** Reads `release.dsse.json` of the content folder and checks its signatures. Errors: E_MEDIA, E_LIMIT, E_IO, those of readRelease. */
export async function readContentRelease(content: string, trust: Trust): Promise<SignedRelease> {
	const bytes = await readSmall(join(content, "release.dsse.json"), MAX_RELEASE);
	if (bytes === undefined) {
		throw new SlipwayError("E_MEDIA", `There is no content release (release.dsse.json) in ${content}.`);
	}
	return { ...readRelease(bytes, trust.release), bytes };
}

/** Refuses a release that lists root images without this one. A machine without a root image id takes any. Errors: E_RELEASE_ROOT. */
export function checkRoot(release: ContentRelease, rootId: string | null): void {
	if (rootId === null || release.roots.length === 0 || release.roots.includes(rootId)) return;
	throw new SlipwayError(
		"E_RELEASE_ROOT",
		`The content release ${release.version} fits other root images than this one (${rootId.slice(0, 12)}).`,
	);
}

/**
 * The signed list of the ISO that an appliance's content folder stands on: it must be there, be for the root image that was
 * booted, and name the content release. With a content stick mounted there it may be absent (undefined), because the medium may
 * be pulled out, and need not name what it cannot know.
 * Errors: E_RELEASE, E_RELEASE_ROOT, E_RELEASE_SET, E_LIMIT, E_IO, those of readIsoRelease.
 */
export async function readMediumRelease(
	content: string,
	trust: Trust,
	rootId: string,
	contentRelease: string,
): Promise<IsoRelease | undefined> {
	const stick = await isMountedOver(content);
	const bytes = await readSmall(join(content, "..", ".disk", "iso-release.dsse.json"), MAX_RELEASE);
	if (bytes === undefined) {
		if (stick) return undefined;
		throw new SlipwayError("E_RELEASE", "The medium has no signed ISO release (.disk/iso-release.dsse.json).", {
			next: "Use a complete, unchanged medium.",
		});
	}
	const { release } = readIsoRelease(bytes, trust.release);
	if (release.rootId !== rootId) {
		throw new SlipwayError("E_RELEASE_ROOT", "The medium belongs to another root image than the one that was booted.");
	}
	if (release.contentRelease !== contentRelease && !stick) {
		throw new SlipwayError("E_RELEASE_SET", "The content release on the medium is not the one its ISO release names.");
	}
	return release;
}

/** Whether the content folder is of another device than what it lies in: of a stick that no ISO release can know. */
async function isMountedOver(content: string): Promise<boolean> {
	const device = (path: string) =>
		stat(path).then(
			({ dev }) => dev,
			() => undefined,
		);
	const own = await device(content);
	return own !== undefined && own !== (await device(join(content, "..")));
}
