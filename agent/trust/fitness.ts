import type { ApplianceConfig } from "../../bundle/appliance.ts";
import { SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import type { BundleIndex, ContentRelease } from "../../bundle/index-schema.ts";

/** Version of the agent, as bundles' `minAgent` means it. */
export const AGENT_VERSION = "0.1.0";

interface Item {
	readonly index: BundleIndex;
	readonly indexDigest: string;
}

/**
 * Refuses a set that is not for this machine, not what its release says or not consistent in itself; every fault at once.
 * Errors: E_TARGET (architecture), E_FIPS_MIX, E_FORMAT (minAgent), E_RELEASE_SET (claims, requires), E_NAME_CONFLICT.
 */
export function checkFitness(
	config: Pick<ApplianceConfig, "arch" | "fips">,
	release: ContentRelease,
	set: readonly Item[],
): void {
	const faults = set.flatMap((item) => [...claimFaults(release, item), ...bundleFaults(config, item, set)]);
	const byName = new Map<string, { digest: string; bundle: string }>();
	for (const { index } of set) {
		for (const { ref, digest } of index.names) {
			const other = byName.get(ref);
			if (other !== undefined && other.digest !== digest) {
				faults.push(
					new SlipwayError("E_NAME_CONFLICT", `${other.bundle} and ${index.name} give ${ref} different digests.`, {
						next: "Get a content release whose bundles agree.",
					}),
				);
			}
			byName.set(ref, { digest, bundle: index.name });
		}
	}
	if (faults.length > 0) throw new SlipwayErrors(faults, "The content does not fit this machine.");
}

/** What people read in the release must be what the bundle's own index says. */
function claimFaults({ bundles }: ContentRelease, { index, indexDigest }: Item): SlipwayError[] {
	const claims = bundles.find((bundle) => bundle.indexDigest === indexDigest);
	const wrong = (["name", "version", "arch", "fips"] as const).filter((key) => claims?.[key] !== index[key]);
	return wrong.map(
		(key) =>
			new SlipwayError(
				"E_RELEASE_SET",
				`The ${key} of ${index.name} ${index.version} is ${index[key]}; the content release says ${claims?.[key]}.`,
			),
	);
}

function bundleFaults(
	config: Pick<ApplianceConfig, "arch" | "fips">,
	{ index }: Item,
	set: readonly Item[],
): SlipwayError[] {
	const title = `${index.name} ${index.version}`;
	const faults: SlipwayError[] = [];
	if (index.arch !== "any" && index.arch !== config.arch) {
		faults.push(new SlipwayError("E_TARGET", `${title} is for ${index.arch}; this machine is ${config.arch}.`));
	}
	const plain = index.fips === false ? title : index.packs.find((pack) => pack.fips === false)?.name;
	if (config.fips && plain !== undefined) {
		faults.push(
			new SlipwayError("E_FIPS_MIX", `${title} holds content without FIPS (${plain}); this machine runs in FIPS mode.`),
		);
	}
	if (newer(index.minAgent, AGENT_VERSION)) {
		faults.push(new SlipwayError("E_FORMAT", `${title} needs agent ${index.minAgent}; this is ${AGENT_VERSION}.`));
	}
	for (const digest of index.requires) {
		if (!set.some((other) => other.indexDigest === digest)) {
			faults.push(
				new SlipwayError("E_RELEASE_SET", `${title} requires the bundle with index ${digest}, which is not here.`),
			);
		}
	}
	return faults;
}

/** Whether the dotted version `a` is newer than `b`; anything behind the numbers does not count. */
function newer(a: string, b: string): boolean {
	const parts = (text: string) => (/^\d+(\.\d+)*/.exec(text)?.[0] ?? "0").split(".").map(Number);
	const [x, y] = [parts(a), parts(b)];
	for (let i = 0; i < Math.max(x.length, y.length); i++) {
		const difference = (x[i] ?? 0) - (y[i] ?? 0);
		if (difference !== 0) return difference > 0;
	}
	return false;
}
