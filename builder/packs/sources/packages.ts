import { writeFile } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../../bundle/errors.ts";
import { type ImageConfig, writeArtifact, writeImage } from "../../oci/image.ts";
import { writeLayer } from "../../oci/layer.ts";
import { nameOf, type PackContext, repository, type SourceResult } from "../context.ts";
import type { PackOf } from "../definition.ts";
import type { Deb } from "../packages/archive.ts";
import { closure } from "../packages/closure.ts";
import { composeImage } from "../packages/compose.ts";
import { enableFips } from "../packages/fips.ts";
import { bytesOf, checkImage } from "../packages/gates.ts";
import { sbom } from "../packages/sbom.ts";
import { unpackDebs } from "../packages/unpack.ts";
import { imagePackages, OPENSSL_PACKAGE } from "../packages/wanted.ts";

const CYCLONEDX = "application/vnd.cyclonedx+json";
/** Cryptography that the FIPS provider does not cover. */
const OTHER_CRYPTO =
	/^(libgcrypt20|libgnutls30.*|libnettle8.*|libhogweed6.*|libsodium23|libmbedcrypto.*|libwolfssl.*|libbotan.*|libk5crypto3|nss|libnss3)$/;

/**
 * Builds a minimal image from packages of the base: one layer with their files, a non-root user, and their list as a
 * CycloneDX SBOM that refers to the image. With FIPS it also carries the provider, switched on and proved.
 * Errors: E_PACK, E_EMULATOR, E_NOT_ROOT, E_FIPS_BASE.
 */
export async function buildPackages(pack: PackOf<"packages">, context: PackContext): Promise<SourceResult> {
	const { bundle, arch, fips, base, blobs, cacheDir, work, epoch, run } = context;
	const debs = context.packageSet?.debs;
	if (debs === undefined) throw new SlipwayError("E_INTERNAL", "The packages of the images were not fetched.");
	const options = context.signal === undefined ? {} : { signal: context.signal };
	const selected = closure(debs, { packages: imagePackages(pack, base, fips), keep: pack.keep, drop: pack.drop });
	const tree = await unpackDebs(run, selected, cacheDir, work, options);
	await composeImage(tree, pack, context.folder);
	await checkImage(pack.name, tree, arch, pack.entrypoint[0]!, pack.shell);
	if (fips) {
		const openssl = await opensslProgram(context, debs);
		await enableFips(run, { name: pack.name, arch, tree, openssl, work, env: pack.env }, options);
	}
	const version = pack.version ?? bundle.version;
	const repo = repository(bundle.name, fips, pack.name);
	const layer = await writeLayer(blobs, tree.entries(), epoch);
	const image = await writeImage(blobs, layer, imageConfig(pack, context, version));
	const list = sbom({ image: `${repo}:${version}`, name: pack.name, version, debs: selected, base, epoch });
	const referrer = await writeArtifact(blobs, {
		artifactType: CYCLONEDX,
		layers: [{ mediaType: CYCLONEDX, ...(await blobs.put(list)) }],
		subject: image,
		annotations: { "org.opencontainers.image.created": iso(epoch) },
	});
	const names = [nameOf(`${repo}:${version}`, image), nameOf(`${repo}@${referrer.digest}`, referrer)];
	const others = selected.filter((deb) => OTHER_CRYPTO.test(deb.name)).map((deb) => deb.name);
	return {
		pack: { name: pack.name, version, layer: pack.layer, arch, fips, licence: pack.licence, names },
		exceptions: fips && others.length > 0 ? [`${pack.name} carries ${others.join(", ")} beside the FIPS provider`] : [],
	};
}

function imageConfig(
	pack: PackOf<"packages">,
	{ arch, fips, base, epoch, bundle, packageSet }: PackContext,
	version: string,
): ImageConfig {
	const main = packageSet?.debs.find((deb) => deb.name === pack.packages[0]);
	const provider = fips ? packageSet?.debs.find((deb) => deb.name === base.fips?.provider) : undefined;
	const standard = {
		"org.opencontainers.image.title": pack.title ?? pack.name,
		"org.opencontainers.image.version": version,
		"org.opencontainers.image.created": iso(epoch),
		"org.opencontainers.image.base.name": `${base.name} packages`,
		...(pack.licence === "" ? {} : { "org.opencontainers.image.licenses": pack.licence }),
		...(main === undefined ? {} : { "slipway.package": `${main.name} ${main.version}` }),
		"slipway.bundle": bundle.name,
		"slipway.fips": String(fips),
		...(provider === undefined ? {} : fipsLabels(provider, base.fips?.certificate ?? null)),
	};
	return {
		architecture: arch,
		created: iso(epoch),
		user: `${pack.user.uid}:${pack.user.gid}`,
		entrypoint: pack.entrypoint,
		cmd: pack.cmd,
		env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ...pack.env },
		ports: pack.ports,
		volumes: pack.volumes,
		workingDir: pack.workdir,
		stopSignal: pack.stopSignal,
		labels: { ...pack.labels, ...standard },
		comment: `packages of ${base.title}`,
	};
}

function fipsLabels(provider: Deb, certificate: string | null): Record<string, string> {
	return {
		"slipway.fips.provider": `${provider.name} ${provider.version}`,
		"slipway.fips.certificate": certificate ?? "none",
	};
}

/** The distribution's openssl program as a file of ours, to prove FIPS with. */
async function opensslProgram(context: PackContext, debs: readonly Deb[]): Promise<string> {
	const deb = debs.filter(({ name }) => name === OPENSSL_PACKAGE);
	const tree = await unpackDebs(context.run, deb, context.cacheDir, path.join(context.work, "openssl"));
	const entry = tree.get("usr/bin/openssl");
	if (entry?.type !== "file")
		throw new SlipwayError("E_PACK", "The package openssl has no program to check FIPS with.");
	const target = path.join(context.work, "openssl-program");
	await writeFile(target, await bytesOf(entry.content), { mode: 0o755 });
	return target;
}

function iso(epoch: number): string {
	return new Date(epoch * 1000).toISOString().replace(".000Z", "Z");
}
