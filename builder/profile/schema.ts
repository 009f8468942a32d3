import { z } from "zod";
import { applianceConfig, ledMap, registryTarget } from "../../bundle/appliance.ts";
import { machineKeys } from "./machine.ts";
import { API_VERSION, arch, contracts, list, name, packageName, text } from "./words.ts";

/**
 * The one declaration of profiles and bases: types, validation, JSON Schema and docs/profile.md come from it.
 * A profile's name is its file's, without `.yaml`. What profiles share with hardware sets stands in machine.ts.
 */

/** A name in profiles/bundles/, or a path such as `./site.yaml`, so that a site's own content can stand beside its profile. */
const bundlePlace = z.union([name, z.string().regex(/^\.{0,2}\/.+\.yaml$/, "a name, or a path that begins with ./")]);
const boxPath = z.string().regex(/^(?:\/[A-Za-z0-9._-]+)+$/, "an absolute path");
/** A file or folder relative to the profile that names it. */
const place = z.string().regex(/^\.{0,2}\/[\x20-\x7e]+$/, "a path that begins with ./, ../ or /");

const role = z.strictObject({
	keys: list(place, "replace").describe("PEM files with public keys, relative to this one"),
	threshold: z.int().min(1).max(16).optional().describe("How many of them must sign; default: 1"),
});

export const profileSchema = z.strictObject({
	apiVersion: z.literal(API_VERSION).describe("Schema version of this file"),
	kind: z.literal("Profile"),
	extends: list(z.string(), "replace").optional().describe("Files this profile builds on, relative to it; later wins"),
	product: name.optional().describe("Product name, shown on the console and in the status"),
	version: z
		.string()
		.regex(/^[0-9A-Za-z][0-9A-Za-z.+~-]{0,63}$/)
		.optional()
		.describe("Product version"),
	arch: arch.optional().describe("Hardware the ISO boots on"),
	fips: z.boolean().optional().describe("Build and run in FIPS mode: packages, kernel line, provider, agent, content"),
	base: name.optional().describe("Distribution and suite the root is made from: a file in profiles/bases/"),
	packages: list(packageName, "append")
		.optional()
		.describe("Packages of the base, besides those that every appliance needs"),
	overlays: list(name, "append").optional().describe("Folders in overlays/ laid over the root, in order"),
	bundles: list(
		z.union([bundlePlace, z.strictObject({ name: bundlePlace, optional: z.boolean().default(false) })]),
		"append",
	)
		.optional()
		.describe(
			"Content bundles on the ISO: names of profiles/bundles/, or paths of YAML files relative to this one; an optional one may be absent at run time",
		),
	audience: text.max(64).optional().describe("Whom the content release is for"),
	root: z
		.enum(["live", "ram"])
		.optional()
		.describe(
			"`live`: the root image is read from the medium, which has to stay; `ram`: it is copied to memory at the start, and the medium may be pulled out",
		),
	boot: z
		.enum(["grub", "uki"])
		.optional()
		.describe(
			"`grub`: the distribution's signed shim and GRUB, BIOS too; `uki`: one EFI program with kernel, initrd and kernel line, signed with your own key (UKI_KEY=, UKI_CERT=), UEFI alone",
		),
	hardware: name
		.optional()
		.describe(
			"Kind of machine: a file in profiles/hardware/. It lies over what this profile extends, and under what it says itself",
		),
	...machineKeys,
	network: z
		.strictObject({
			expose: z
				.enum(["loopback", "lan"])
				.optional()
				.describe("Where registry and status listen; `lan` means TLS with the device's own certificate"),
		})
		.optional(),
	registry: z
		.strictObject({
			target: registryTarget
				.optional()
				.describe("Registry that the box also loads its content into, such as https://registry.site/mirror"),
			sparse: z
				.enum(["refuse", "child"])
				.optional()
				.describe(
					"For a target that refuses incomplete multi-arch images: `child` gives their names to the one image that is here",
				),
			credentials: boxPath
				.optional()
				.describe("File on the box with its credentials, in the form of docker's config.json"),
			ca: boxPath.optional().describe("PEM file on the box with the CA of its certificate"),
		})
		.optional()
		.describe("An existing registry to load into; its password is put on the box at the site, never on the ISO"),
	trust: z
		.strictObject({
			release: role
				.optional()
				.describe(
					"Keys that sign content; default: the one that signs this build. A development key is taken beside them",
				),
			root: role
				.optional()
				.describe(
					"Keys that sign statements: rotation, denylist, floor reset, planned rollback. Without them there are none",
				),
			statements: place
				.optional()
				.describe("Folder with the chain of statements, relative to this file: put into the root image and on the ISO"),
		})
		.optional()
		.describe("Whom the box trusts (docs/trust.md)"),
});
export type ProfileFile = z.infer<typeof profileSchema>;

const trustRole = z.strictObject({ keys: z.array(z.string()).min(1), threshold: z.int().default(1) });

/** A resolved profile: `extends` followed, defaults filled in, nothing optional left. */
export const resolvedProfile = z.strictObject({
	name,
	product: name,
	version: z.string(),
	arch,
	fips: z.boolean(),
	base: name,
	packages: z.array(packageName),
	overlays: z.array(name),
	bundles: z.array(z.strictObject({ name, optional: z.boolean() })),
	audience: z.string(),
	root: z.enum(["live", "ram"]),
	boot: z.enum(["grub", "uki"]),
	hardware: name.nullable(),
	kernel: z.strictObject({ flavour: name, arguments: z.array(z.string()) }),
	/** Device classes, with what the hardware set asks for. */
	firmware: z.array(name),
	console: z.strictObject({ serial: z.string(), baud: z.int() }),
	requirements: applianceConfig.shape.requirements.unwrap(),
	leds: ledMap,
	network: z.strictObject({ expose: z.enum(["loopback", "lan"]) }),
	registry: applianceConfig.shape.registry.unwrap(),
	/** Absolute paths. */
	trust: z.strictObject({
		release: trustRole.nullable().default(null),
		root: trustRole.nullable().default(null),
		statements: z.string().nullable().default(null),
	}),
});
export type Profile = z.infer<typeof resolvedProfile>;

const kernels = z.record(
	name,
	z.strictObject({
		package: packageName,
		lacks: z
			.array(z.string())
			.default([])
			.describe("Drivers that the initrd has on other machines, and this kernel has not"),
	}),
);

/** Facts of a base (`profiles/bases/NAME.yaml`): package names and archive layout are data, not code. */
export const baseSchema = z.strictObject({
	apiVersion: z.literal(API_VERSION),
	kind: z.literal("Base"),
	name,
	title: z.string().describe("What people call it"),
	distribution: z.enum(["debian", "ubuntu"]),
	suite: z.string().describe("Code name, as mmdebstrap takes it"),
	components: z.array(z.string()).describe("Archive components"),
	archive: z
		.strictObject({
			mirrors: z
				.record(z.string(), z.string())
				.describe("Mirror per architecture; empty: mmdebstrap's own default for the suite"),
			snapshot: z
				.string()
				.regex(/\{snapshot\}/, "an address with {snapshot} in it")
				.optional()
				.describe("Archive of snapshots, with `{snapshot}` where SNAPSHOT= goes; none: SNAPSHOT= needs a MIRROR="),
			pockets: z.array(z.string()).describe("Pockets beside the suite, such as -updates and -security"),
			keyrings: z
				.array(z.string())
				.describe("Keyring files of the host that may hold the archive's key, first found wins"),
			keyringPackage: z.string().describe("Package that brings the keyring"),
		})
		.describe("Where packages come from; mirrors.yaml, MIRROR= and KEYRING= go over it"),
	arch: z.array(arch).describe("Architectures offered"),
	kernel: z.record(arch, kernels).describe("Kernels by flavour; every architecture has `generic`"),
	firmware: z
		.strictObject({
			component: z
				.string()
				.nullable()
				.describe("Archive component that is needed for them beside the others, and only then; null: none"),
			classes: z.record(
				name,
				z.strictObject({
					packages: z.array(packageName).min(1),
					arch: z.array(arch).optional().describe("Architectures that have them; default: all of the base"),
				}),
			),
		})
		.describe("Packages that hold the firmware of each class of devices"),
	packages: z.array(packageName).describe("What every appliance needs: init, udev, dracut, tools of the boot"),
	secureBoot: z
		.record(arch, z.strictObject({ packages: z.array(packageName), shim: z.string(), grub: z.string() }))
		.describe("Signed shim and CD variant of signed GRUB: packages and the files in them"),
	uki: z
		.record(arch, z.strictObject({ package: packageName, stub: z.string() }))
		.nullable()
		.default(null)
		.describe(
			"systemd's EFI stub, behind which `boot: uki` puts kernel and initrd: package and file; null: it has none",
		),
	grub: z.record(arch, z.array(packageName)).describe("Packages with GRUB's modules for self-made images"),
	fips: z
		.strictObject({
			stream: z.enum(["fips", "fips-updates", "distribution"]).describe("`distribution`: not certified"),
			certificate: z.string().nullable().describe("Certificate number, if the module is a validated one"),
			packages: z.array(packageName).describe("Provider, and kernel if it is another one"),
			kernel: z.record(arch, kernels).optional().describe("Kernels in place of the base's own"),
			provider: packageName.describe("The package that holds the provider; its version is recorded"),
			proToken: z.boolean().describe("Needs an Ubuntu Pro token (PRO_TOKEN_FILE)"),
			contracts: contracts
				.nullable()
				.default(null)
				.describe("The vendor's service that tokens are for; null: there are none"),
			dracutModules: z.array(z.string()).describe("dracut modules for the FIPS boot self-test"),
			modulesDir: z.record(arch, z.string()).describe("OpenSSL's folder of providers"),
		})
		.nullable()
		.describe("How the base does FIPS; null: it does not"),
	foreignInstall: z
		.enum(["chrootless", "emulated"])
		.default("emulated")
		.describe(
			"For an architecture other than the build host's: `chrootless` where the suite's maintainer scripts know DPKG_ROOT, so that they run natively; `emulated`: all of them under qemu-user, ten times slower",
		),
	node: z.strictObject({ libraries: z.array(packageName).describe("What the pinned Node.js needs") }),
});
export type Base = z.infer<typeof baseSchema>;
