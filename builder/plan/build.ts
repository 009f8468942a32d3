import type { ArchiveResolve } from "../archive/answer.ts";
import type { BundleDefinition } from "../packs/definition.ts";
import type { Base, Profile } from "../profile/schema.ts";
import type { Signer } from "../signing/signer.ts";
import type { Arch } from "../tools/host-arch.ts";
import type { UkiSigner } from "../uki/key.ts";
import type { BuildTrust } from "./trust.ts";

/** A resolved build: everything that stages may read, gathered before the plan is made. */
export interface Build {
	/** Project folder. */
	readonly root: string;
	/** `.cache/` and `dist/` folders. */
	readonly cacheDir: string;
	readonly distDir: string;
	readonly profile: Profile;
	/** Architecture of the machine that builds. */
	readonly hostArch: Arch;
	readonly base: Base;
	readonly bundles: readonly BundleDefinition[];
	/** The root image's package set, as first resolved. */
	readonly resolve: ArchiveResolve;
	/** The package set of the workshop, for an architecture other than the host's. */
	readonly workshop: ArchiveResolve | null;
	/** Package set of each bundle made from packages that must be used again (`build --inputs`), by the bundle's name. */
	readonly contentPins: Readonly<Record<string, ArchiveResolve>>;
	/** The lock file that the package sets are from. */
	readonly lock: string | undefined;
	/** Ask archives and registries again although answers are kept. Never part of an id. */
	readonly refresh: boolean;
	/** SOURCE_DATE_EPOCH, seconds. The default is the commit's time. */
	readonly epoch: number;
	/** Epoch for what comes from the archive alone (root, images): the time of its signed Release file, so that a commit that does not change packages leaves those stages cached. */
	readonly archiveEpoch: number;
	readonly signer: Signer;
	readonly trust: BuildTrust;
	/** For `boot: uki`; null: none is asked for. */
	readonly uki: UkiSigner | null;
	/** Profile version, with `-dev.<epoch>` for the development key. */
	readonly version: string;
	readonly mirror: string | undefined;
	readonly keyring: string | undefined;
	/** SHA-256 of the keyring that archives are checked with; null: this host has none, and can plan alone. */
	readonly keyringDigest: string | null;
}
