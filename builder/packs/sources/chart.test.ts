import { symlink, utimes } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { contextFor, definitionIn, firstPack, folderWith } from "../../../test/support/packs.ts";
import { run } from "../../tools/run.ts";
import type { Pack } from "../pack.ts";
import { buildChart } from "./chart.ts";

const CHART = {
	"demo/Chart.yaml": "apiVersion: v2\nname: demo\nversion: 1.2.3+build.4\ndescription: text\n",
	"demo/values.yaml": '# A comment that stays\nimages:\n  web: ""\nport: 80\n',
	"demo/templates/all.yaml": "image: {{ .Values.images.web }}\n",
	"demo/.helmignore": "*.swp\n",
};
const IMAGES = [
	"- { name: demo, source: chart, path: demo, images: { images.web: web } }",
	"- { name: web, source: packages, packages: [nginx], entrypoint: [/x] }",
].join("\n");
const digest = `sha256:${"ab".repeat(32)}`;
const web = { name: "web", names: [{ ref: "slipway.local/test/web:1.0.0", digest }] } as unknown as Pack;

async function chartIn(files: Record<string, string>, packs = IMAGES) {
	const folder = await folderWith(files);
	const bundle = await definitionIn(folder, packs);
	return {
		folder,
		pack: firstPack(bundle, "chart"),
		context: await contextFor(bundle, { built: new Map([["web", web]]) }),
	};
}

test("packs a chart as Helm pulls it, with the images by name and digest; same folder, same bytes", async () => {
	const { folder, pack, context } = await chartIn(CHART);
	const first = await buildChart(pack, context);
	await utimes(join(folder, "demo/Chart.yaml"), 1, 1);
	expect(await buildChart(pack, context)).toEqual(first);

	const [name] = first.pack.names;
	expect(first.pack).toMatchObject({ version: "1.2.3+build.4", arch: "any", fips: "n/a" });
	expect(name!.ref).toBe("slipway.local/test/demo:1.2.3_build.4");
	const manifest = JSON.parse((await context.blobs.read(name!.digest)).toString());
	expect(manifest.config.mediaType).toBe("application/vnd.cncf.helm.config.v1+json");
	expect(JSON.parse((await context.blobs.read(manifest.config.digest)).toString())).toMatchObject({ name: "demo" });
	const [layer] = manifest.layers;
	expect(layer.mediaType).toBe("application/vnd.cncf.helm.chart.content.v1.tar+gzip");
	const tar = context.blobs.path(layer.digest);
	expect((await run("tar", ["-tzf", tar])).stdout.split("\n")).toEqual([
		"demo/Chart.yaml",
		"demo/.helmignore",
		"demo/templates/all.yaml",
		"demo/values.yaml",
	]);
	const { stdout: values } = await run("tar", ["-xzOf", tar, "demo/values.yaml"]);
	expect(parse(values)).toEqual({ images: { web: `slipway.local/test/web:1.0.0@${digest}` }, port: 80 });
	expect(values).toContain("# A comment that stays");
});

test("FIPS and other charts never share a name", async () => {
	const { pack, context } = await chartIn(CHART);
	const { pack: built } = await buildChart(pack, { ...context, fips: true });
	expect(built.names[0]!.ref).toBe("slipway.local/test-fips/demo:1.2.3_build.4");
});

test.each([
	["another name", { "demo/Chart.yaml": "apiVersion: v2\nname: other\nversion: 1.0.0\n" }, /named other/],
	[
		"a dependency that is not there",
		{ "demo/Chart.yaml": `${CHART["demo/Chart.yaml"]}dependencies:\n- name: db\n  version: "1"\n` },
		/db is not in charts/,
	],
	["a value that no template can use", { "demo/values.yaml": "port: 80\n" }, /no images\.web/],
	["a name with a blank", { "demo/templates/a b.yaml": "" }, /"a b\.yaml"/],
	["a hidden file", { "demo/.env": "" }, /"\.env"/],
])("refuses a chart with %s", async (_, files, message) => {
	const { pack, context } = await chartIn({ ...CHART, ...files });
	await expect(buildChart(pack, context)).rejects.toMatchObject({
		code: "E_PACK",
		message: expect.stringMatching(message),
	});
});

test.each(["1.0", "..", "1.0.0/../x"])("refuses version %j", async (version) => {
	const { pack, context } = await chartIn({
		...CHART,
		"demo/Chart.yaml": `apiVersion: v2\nname: demo\nversion: "${version}"\n`,
	});
	await expect(buildChart(pack, context)).rejects.toMatchObject({ code: "E_PROFILE_VALUE" });
});

test("refuses links, which would bring files of the build host", async () => {
	const { folder, pack, context } = await chartIn(CHART);
	await symlink("/etc/passwd", join(folder, "demo/templates/stolen.yaml"));
	await expect(buildChart(pack, context)).rejects.toMatchObject({
		code: "E_PACK",
		message: expect.stringContaining("stolen.yaml"),
	});
});
