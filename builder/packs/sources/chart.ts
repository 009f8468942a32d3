import { readFile } from "node:fs/promises";
import path from "node:path";
import { parseDocument } from "yaml";
import { z } from "zod";
import { SlipwayError } from "../../../bundle/errors.ts";
import type { Entry } from "../../oci/file-tree.ts";
import { putJson, writeArtifact } from "../../oci/image.ts";
import { writeLayer } from "../../oci/layer.ts";
import { loadYaml } from "../../yaml/load.ts";
import { nameOf, type PackContext, repository, type SourceResult } from "../context.ts";
import type { PackOf } from "../definition.ts";
import { type LocalFile, localFiles } from "../local-files.ts";

const CONFIG = "application/vnd.cncf.helm.config.v1+json";
const CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/** Helm reads a chart into memory whole. */
const MAX_SIZE = 20 * 1024 * 1024;

const chartYaml = z.looseObject({
	apiVersion: z.literal("v2"),
	name: z.string().regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/, "lower-case letters, digits and -"),
	version: z.string().regex(/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/, "a semantic version"),
	dependencies: z.array(z.looseObject({ name: z.string() })).optional(),
});

/**
 * Packs a Helm chart's folder as an OCI chart that `helm pull oci://…` understands, with the images of this bundle filled
 * into its values by name and digest. Same folder and images, same bytes. Errors: E_PACK, E_PROFILE_VALUE.
 */
export async function buildChart(pack: PackOf<"chart">, context: PackContext): Promise<SourceResult> {
	const { bundle, fips, blobs, folder, epoch } = context;
	const fail = (message: string) => new SlipwayError("E_PACK", `${pack.name}: ${message}`);
	const top = path.resolve(folder, pack.path);
	const files = await localFiles(pack.name, top);
	if (files.reduce((sum, file) => sum + file.size, 0) > MAX_SIZE) throw fail("the chart has more than 20 MiB.");
	const { value: chart } = await loadYaml(path.join(top, "Chart.yaml"), chartYaml, "E_PACK");
	if (chart.name !== pack.name) throw fail(`the chart is named ${chart.name}; give the pack that name.`);
	if (pack.version !== undefined && pack.version !== chart.version)
		throw fail(`the chart has version ${chart.version}.`);
	for (const { name } of chart.dependencies ?? []) {
		const there = files.some(
			(file) => file.name.startsWith(`charts/${name}/`) || file.name.startsWith(`charts/${name}-`),
		);
		if (!there) throw fail(`its dependency ${name} is not in charts/; a box has nowhere to get it from.`);
	}
	const layer = await writeLayer(blobs, await entriesOf(files, pack, context), epoch);
	const artifact = await writeArtifact(blobs, {
		config: { mediaType: CONFIG, ...(await putJson(blobs, chart)) },
		layers: [{ mediaType: CONTENT, digest: layer.digest, size: layer.size }],
		annotations: { "org.opencontainers.image.title": chart.name, "org.opencontainers.image.version": chart.version },
	});
	// A tag has no `+`; Helm puts `_` in its place.
	const names = [nameOf(`${repository(bundle.name, fips, pack.name)}:${chart.version.replaceAll("+", "_")}`, artifact)];
	const { name, layer: level, licence } = pack;
	return {
		pack: { name, version: chart.version, layer: level, arch: "any", fips: "n/a", licence, names },
		exceptions: [],
	};
}

/** Every file below the chart's name, Chart.yaml first, as Helm does it. */
async function entriesOf(
	files: readonly LocalFile[],
	pack: PackOf<"chart">,
	context: PackContext,
): Promise<[string, Entry][]> {
	const first = (name: string) => Number(name !== "Chart.yaml");
	const ordered = [...files].sort((a, b) => first(a.name) - first(b.name));
	const base = { type: "file", mode: 0o644, uid: 0, gid: 0 } as const;
	const values = await filledValues(files, pack, context);
	return ordered.map(({ name, file, size }): [string, Entry] => {
		const content = name === "values.yaml" && values !== undefined ? values : { file, size };
		return [`${pack.name}/${name}`, { ...base, content }];
	});
}

/** values.yaml with each image as `repository:tag@digest`; undefined when the chart wants none. */
async function filledValues(
	files: readonly LocalFile[],
	pack: PackOf<"chart">,
	{ built }: PackContext,
): Promise<Buffer | undefined> {
	const wanted = Object.entries(pack.images);
	if (wanted.length === 0) return undefined;
	const file = files.find(({ name }) => name === "values.yaml")?.file;
	if (file === undefined)
		throw new SlipwayError("E_PACK", `${pack.name}: there is no values.yaml to fill images into.`);
	const values = parseDocument(await readFile(file, "utf8"));
	for (const [key, image] of wanted) {
		const keys = key.split(".");
		const name = built.get(image)?.names[0];
		if (name === undefined) throw new SlipwayError("E_PACK", `${pack.name}: the image ${image} was not built.`);
		// A value that no template knows would be filled in for nothing.
		if (!values.hasIn(keys)) throw new SlipwayError("E_PACK", `${pack.name}: values.yaml has no ${key}.`);
		values.setIn(keys, `${name.ref}@${name.digest}`);
	}
	return Buffer.from(values.toString({ lineWidth: 0 }));
}
