import { sha256 } from "./index-schema.ts";
import { z } from "./zod.ts";

/** Scheme, host, port and path: no user, query or fragment, which would end in logs. */
export const registryTarget = z
	.string()
	.regex(
		/^https?:\/\/[A-Za-z0-9.:[\]-]+(\/[a-z0-9._/-]*)?$/,
		"https://host[:port][/path] in lower case, without a password",
	);

const stage = z.enum(["booting", "preflight", "verifying", "serving", "ready", "degraded", "failed"]);

/** Lights by what the machine's front says of them, each with the stages of the agent that it shows. Off in all others. */
export const ledMap = z.record(
	z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, "lower-case letters, digits and -"),
	z.strictObject({
		led: z
			.string()
			.regex(/^[A-Za-z0-9][A-Za-z0-9:_@-]{0,63}$/, "a name as in /sys/class/leds")
			.describe("Its name in /sys/class/leds"),
		on: z.array(stage).default([]).describe("Stages in which it is on"),
		blink: z.array(stage).default([]).describe("Stages in which it blinks"),
	}),
);
export type LedMap = z.infer<typeof ledMap>;

/**
 * The agent's configuration: on the box `/etc/slipway/appliance.json`, written by the builder; on any other Linux host the
 * file given to `slipway agent --config` (YAML or JSON). It stands in `bundle/` because both sides share it.
 */
export const applianceConfig = z.strictObject({
	/** What the box is. On a host that is not an appliance, only `content` and `trust` need be given. */
	product: z.string().default("slipway").describe("Product name shown to people"),
	version: z.string().default("0").describe("Product version shown to people"),
	profile: z.string().default("host").describe("Profile the image was built from"),
	buildId: z.string().default("").describe("Id of the ISO build"),
	arch: z
		.enum(["amd64", "arm64"])
		.optional()
		.transform((arch) => arch ?? (process.arch === "arm64" ? "arm64" : "amd64"))
		.describe("Architecture of the box. Default: this machine's"),
	fips: z.boolean().default(false).describe("The box must run in FIPS mode; bundles with `fips: false` are refused"),
	fipsModule: z
		.strictObject({
			provider: z.string().describe("Package that holds the provider"),
			version: z.string().describe("Its version"),
			stream: z.enum(["fips", "fips-updates", "distribution"]).describe("`distribution`: not certified"),
			certificate: z.string().nullable().describe("Certificate number, if the module is a validated one"),
		})
		.nullable()
		.default(null)
		.describe("What the build recorded about the FIPS provider"),
	content: z.string().describe("Folder with release.dsse.json, the bundles and their .sig.bin"),
	trust: z.string().describe("Trust store folder (trust.json and PEM files), or one PEM file with the release key"),
	store: z.string().default("/var/lib/slipway").describe("Folder for the store and its state"),
	run: z.string().default("/run/slipway").describe("Folder for status.json and other run-time files"),
	boot: z
		.string()
		.default("/run/slipway-boot")
		.describe(
			"Folder with what was found before the agent started: `failure`, `medium`, `hardware.json`; each may be absent",
		),
	requirements: z
		.strictObject({
			cores: z.int().min(1).default(1).describe("Least number of CPU cores"),
			memoryMiB: z.int().min(0).default(0).describe("Least memory in MiB, as installed"),
			diskMiB: z.int().min(0).default(0).describe("Least size of the data disk in MiB; 0: none needed"),
			disks: z
				.strictObject({
					count: z.int().min(0).default(0).describe("How many"),
					sizeMiB: z.int().min(0).default(0).describe("Least size of each in MiB"),
				})
				.prefault({})
				.describe("Built-in disks, whatever is on them; neither sticks nor the medium count"),
			nics: z.int().min(0).default(0).describe("Least number of wired network ports"),
			cpuFlags: z.array(z.string()).default([]).describe("CPU flags that must be there"),
			tpm: z.boolean().default(false).describe("A TPM must be there"),
		})
		.prefault({})
		.describe("What the hardware must have before anything is loaded"),
	network: z
		.strictObject({
			expose: z
				.enum(["loopback", "lan"])
				.default("loopback")
				.describe("`lan`: TLS on every address, with the device's own certificate"),
			registryPort: z.int().min(0).max(65535).default(5000).describe("Port of the registry; 0: any free one"),
			statusPort: z.int().min(0).max(65535).default(8080).describe("Port of the status endpoint; 0: any free one"),
			names: z
				.array(z.string().regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, "a host name in lower case"))
				.default([])
				.describe("Further host names that clients use for this machine"),
		})
		.prefault({})
		.describe("Where registry and status listen"),
	serve: z
		.enum(["auto", "store", "in-place"])
		.default("auto")
		.describe(
			"`store`: blobs are copied into the store; `in-place`: they are served out of the bundles and never copied; `auto`: in place where the store is in memory",
		),
	limits: z
		.strictObject({
			storeMiB: z.int().min(0).default(0).describe("Most that the store may take of its disk in MiB; 0: what is free"),
		})
		.prefault({})
		.describe("What the agent may use of the machine"),
	scrub: z
		.strictObject({
			everyHours: z
				.int()
				.min(0)
				.max(8760)
				.default(168)
				.describe("Hours between two readings of the whole store in the background, to find damage; 0: never"),
		})
		.prefault({})
		.describe("Check of the stored bytes"),
	audit: z
		.strictObject({
			maxMiB: z.int().min(1).max(1024).default(16).describe("Size of one file of the pull audit in MiB"),
			keep: z.int().min(1).max(100).default(4).describe("Files of the pull audit that are kept"),
		})
		.prefault({})
		.describe("Record of who pulled what"),
	registry: z
		.strictObject({
			target: registryTarget
				.nullable()
				.default(null)
				.describe("Registry that the content is loaded into as well, such as https://registry.site/mirror; null: none"),
			sparse: z
				.enum(["refuse", "child"])
				.default("refuse")
				.describe(
					"For a target that refuses incomplete multi-arch images: `child` gives their names to the one image that is here",
				),
			credentials: z
				.string()
				.nullable()
				.default(null)
				.describe("File with the target's credentials, in the form of docker's config.json"),
			ca: z.string().nullable().default(null).describe("PEM file with the CA of the target's certificate"),
		})
		.prefault({})
		.describe("An existing registry to load into"),
	leds: ledMap.default({}).describe("Lights that show the stage; the agent must be allowed to write them"),
	consoles: z
		.array(z.string())
		.default([])
		.describe("Terminals that get the few plain lines of state, such as /dev/tty1"),
});

export type ApplianceConfig = z.infer<typeof applianceConfig>;

/** `trust.json` of a trust store folder: which PEM file holds which role's keys. */
export const trustFile = z.strictObject({
	format: z.literal(1),
	release: z.strictObject({
		threshold: z.int().min(1).max(16),
		keys: z
			.array(
				z.strictObject({
					file: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}\.pem$/),
					development: z.boolean().default(false),
				}),
			)
			.min(1),
	}),
	root: z
		.strictObject({
			threshold: z.int().min(1).max(16),
			keys: z.array(z.strictObject({ file: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}\.pem$/) })),
		})
		.optional(),
	/** Keys by id, and payload digests of indexes and releases, that never count. */
	deny: z.strictObject({ keys: z.array(sha256).default([]), indexes: z.array(sha256).default([]) }).prefault({}),
});
export type TrustFile = z.infer<typeof trustFile>;
