import { verifyEnvelope } from "../../bundle/dsse.ts";
import { joinSignatures, readFurther } from "../../bundle/further-signatures.ts";
import { type BundleIndex, PAYLOAD_TYPE } from "../../bundle/index-schema.ts";
import { openBundle } from "../../bundle/reader.ts";
import { loadTrust } from "../../bundle/trust.ts";
import { formatBytes } from "../plan/space.ts";
import type { CommandContext } from "./command.ts";

type Signature =
	| { readonly checked: false }
	| { readonly checked: true; readonly keys: readonly string[]; readonly development: boolean };

/**
 * Shows what a bundle's index says, reading nothing else of the file, and says whether the index's signature was checked.
 * Nothing is said about the data: that is what `bundle verify` reads. Errors: those of openBundle() and verifyEnvelope().
 */
export async function bundleInspect(
	{ print }: CommandContext,
	options: { key?: string },
	[file]: string[],
): Promise<void> {
	const trust = options.key === undefined ? undefined : await loadTrust(options.key);
	const further = await readFurther(file as string);
	let signature: Signature = { checked: false };
	const bundle = await openBundle(file as string, {
		authenticate: (payload, envelope) => {
			if (trust === undefined) return;
			const { keys, development } = verifyEnvelope(
				joinSignatures(envelope, further),
				payload,
				PAYLOAD_TYPE.bundleIndex,
				trust.release,
			);
			signature = { checked: true, keys, development };
		},
	});
	await bundle.close();
	const { index, indexDigest, size } = bundle;
	print(
		() => `${describe(index, indexDigest, size, signature).join("\n")}\n`,
		() => ({ file, size, indexDigest, signature, dataVerified: false, index }),
	);
}

function describe(index: BundleIndex, indexDigest: string, size: number, signature: Signature): string[] {
	const present = index.blobs.reduce((sum, blob) => sum + blob.size, 0);
	const rows: [string, string][] = [
		["Bundle", `${index.name} ${index.version} (${index.arch}, ${fipsText(index.fips)}), sequence ${index.sequence}`],
		["Product", [index.product, ...index.productVersions].join(" ")],
		["Created", index.created],
		["Index", indexDigest],
		["Signature", signatureText(signature)],
		[
			"Size",
			`${formatBytes(size)}; ${index.blobs.length} blobs with ${formatBytes(present)} in ${index.frames.length} frames`,
		],
		...index.exceptions.map((text): [string, string] => ["Exception", text]),
		["Packs", String(index.packs.length)],
	];
	const packs = index.packs.flatMap((pack) => [
		`  ${pack.name} ${pack.version} (${pack.layer}, ${pack.arch}, ${fipsText(pack.fips)}${pack.licence === "" ? "" : `, ${pack.licence}`})`,
		...pack.names.flatMap((ref) => nameLines(index.names.find((name) => name.ref === ref))),
	]);
	return [...rows.map(([key, value]) => `${key.padEnd(10)} ${value}`), ...packs];
}

function nameLines(name: BundleIndex["names"][number] | undefined): string[] {
	if (name === undefined) return [];
	const platforms = name.platforms.length === 0 ? "" : ` [${name.platforms.join(", ")}; ${name.absent.length} absent]`;
	return [`    ${name.ref}${name.ref.includes("@") ? "" : `  ${name.digest}`}${platforms}`];
}

function signatureText(signature: Signature): string {
	if (!signature.checked) return "NOT CHECKED (give --key); the data is not verified either, see `bundle verify`";
	const development = signature.development ? " (development key)" : "";
	return `index signed by ${signature.keys.join(", ")}${development}; the data is not verified, see \`bundle verify\``;
}

function fipsText(fips: BundleIndex["fips"]): string {
	if (fips === "n/a") return "FIPS does not apply";
	return fips ? "FIPS" : "not FIPS";
}
