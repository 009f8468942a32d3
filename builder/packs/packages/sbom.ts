import { createHash } from "node:crypto";
import { Enums, Models, Serialize, Spec } from "@cyclonedx/cyclonedx-library";
import { PackageURL } from "packageurl-js";
import type { Base } from "../../profile/schema.ts";
import type { Deb } from "./archive.ts";
import { dependencies, providers } from "./closure.ts";

export interface SbomRequest {
	/** Full name of the image, with tag. */
	readonly image: string;
	readonly name: string;
	readonly version: string;
	readonly debs: readonly Deb[];
	readonly base: Base;
	/** Seconds. */
	readonly epoch: number;
}

/**
 * The packages of an image as CycloneDX 1.6 JSON: name, version, package URL, digest of the package file, and what depends on
 * what. Same packages and epoch, same bytes: the serial number is made from the content.
 */
export function sbom({ image, name, version, debs, base, epoch }: SbomRequest): Buffer {
	const offered = providers(debs);
	const components = new Map(debs.map((deb) => [deb.name, component(deb, base)]));
	for (const deb of debs) {
		for (const needed of dependencies(deb, offered)) {
			components.get(deb.name)!.dependencies.add(components.get(needed.name)!.bomRef);
		}
	}
	const root = new Models.Component(Enums.ComponentType.Container, name, { version, bomRef: image });
	for (const part of components.values()) root.dependencies.add(part.bomRef);
	const metadata = new Models.Metadata({ component: root, timestamp: new Date(epoch * 1000) });
	metadata.tools.components.add(new Models.Component(Enums.ComponentType.Application, "slipway"));
	const bom = new Models.Bom({ metadata, components: new Models.ComponentRepository(components.values()) });
	const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6));
	const write = () => serializer.serialize(bom, { sortLists: true, space: 0 });
	bom.serialNumber = `urn:uuid:${uuidOf(write())}`;
	return Buffer.from(write());
}

function component(deb: Deb, base: Base): Models.Component {
	const { name, version, arch, fields } = deb;
	const qualifiers = { arch, distro: base.name };
	const purl = new PackageURL("deb", base.distribution, name, version, qualifiers, undefined).toString();
	const maintainer = /^([^<]*[^<\s])/.exec(fields.Maintainer ?? "")?.[1];
	const description = fields.Description?.split("\n")[0];
	return new Models.Component(Enums.ComponentType.Library, name, {
		version,
		bomRef: purl,
		purl,
		hashes: new Models.HashDictionary([[Enums.HashAlgorithm["SHA-256"], deb.sha256]]),
		...(description === undefined ? {} : { description }),
		...(maintainer === undefined ? {} : { supplier: new Models.OrganizationalEntity({ name: maintainer }) }),
	});
}

/** A UUID (version 8: made by hashing in a way of one's own) from the document itself. */
function uuidOf(text: string): string {
	const hex = createHash("sha256").update(text).digest("hex");
	const variant = "89ab"[Number.parseInt(hex[16]!, 16) % 4];
	return [
		hex.slice(0, 8),
		hex.slice(8, 12),
		`8${hex.slice(13, 16)}`,
		`${variant}${hex.slice(17, 20)}`,
		hex.slice(20, 32),
	].join("-");
}
