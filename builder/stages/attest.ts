import { copyFile, link, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { signatureName } from "../../bundle/signature-file.ts";
import type { Stage, StageContext } from "../plan/stage.ts";
import type { Inputs } from "../release/inputs.ts";
import { fipsStatement, type Manifest } from "../release/manifest.ts";
import { releaseName } from "../release/names.ts";
import { toolVersions } from "../release/tools.ts";
import { recordingSigner } from "../signing/record.ts";
import { chunksOf } from "../tools/chunks.ts";
import { codeOf } from "./code.ts";
import { type ContentRecord, readContentRecord } from "./content-record.ts";
import { isoRecord } from "./iso.ts";

const options = z.strictObject({
	name: z.string(),
	keyId: z.string(),
	title: z.string(),
	resolvedAt: z.string(),
	epoch: z.int(),
});
type Options = z.infer<typeof options>;

/** The release set: everything that goes to `dist/`. Large files are linked, not copied. */
export const attest: Stage<Options> = {
	name: "attest",
	summary: "Sign the ISO and write the release set",
	options,
	inputs: ["bootstrap", "content", "iso"],
	plan: (build) => ({
		name: releaseName(build),
		keyId: build.signer.keyId,
		title: build.base.title,
		resolvedAt: build.resolve.resolvedAt,
		epoch: build.epoch,
	}),
	sources: () => codeOf(import.meta.filename),
	space: () => 10_000_000,
	async run(context) {
		const { build, options: o, inputs, out } = context;
		const content = await readContentRecord(inputs.content!);
		const iso = isoRecord.parse(JSON.parse(await readFile(join(inputs.iso!, "iso.json"), "utf8")));
		const image = join(out, `${o.name}.iso`);
		await link(join(inputs.iso!, "image.iso"), image);
		// Statements stay where they came from: the release set has no folders.
		const files = content.files.filter(({ path }) => !path.includes("/"));
		for (const { path } of files) await link(join(inputs.content!, "content", path), join(out, path));
		const { signer, signatures } = recordingSigner(build.signer);
		const signature = await signer.sign(iso.sha256, () => chunksOf(image));
		await writeFile(join(out, signatureName(`${o.name}.iso`)), signature);
		await writeFile(join(out, `${o.name}.iso.sha256`), `${iso.sha256}  ${o.name}.iso\n`);
		await writeFile(join(out, "public_key.pem"), signer.publicKeyPem);
		await copyFile(verifyScript, join(out, "verify.sh"));
		await writeJson(join(out, `${o.name}.manifest.json`), await manifestOf(context, content, iso));
		await writeJson(
			join(out, `${o.name}.inputs.json`),
			await inputsOf(context, content, { ...content.signatures, ...iso.signatures, ...signatures }),
		);
	},
};

const verifyScript = join(import.meta.dirname, "../release/verify.sh");

async function manifestOf(
	{ build, options: o, inputs }: StageContext<Options>,
	content: ContentRecord,
	iso: z.infer<typeof isoRecord>,
): Promise<Manifest> {
	const { profile, base, signer, version } = build;
	const packages = JSON.parse(await readFile(join(inputs.bootstrap!, "packages.json"), "utf8")) as Record<
		string,
		string
	>;
	const fips = profile.fips ? base.fips : null;
	return {
		format: 1,
		profile: profile.name,
		product: profile.product,
		version,
		arch: profile.arch,
		base: { name: base.name, title: base.title, suite: base.suite },
		created: new Date(o.epoch * 1000).toISOString().replace(".000Z", "Z"),
		iso: { file: `${o.name}.iso`, size: iso.size, sha256: iso.sha256 },
		buildId: iso.buildId,
		rootId: iso.rootId,
		developmentKey: signer.development,
		keyId: signer.keyId,
		fips: fips && {
			provider: fips.provider,
			version: packages[fips.provider] ?? "unknown",
			stream: fips.stream,
			certificate: fips.certificate,
			...fipsStatement(fips),
		},
		packages,
		bundles: content.bundles,
	};
}

async function inputsOf(
	{ build, run }: StageContext<Options>,
	content: ContentRecord,
	signatures: Record<string, string>,
): Promise<Inputs> {
	const { profile, base, hostArch, version, epoch, signer, resolve, workshop } = build;
	return {
		format: 1,
		profile: profile.name,
		base: base.name,
		version,
		epoch,
		publicKey: signer.publicKeyPem,
		development: signer.development,
		host: hostArch,
		tools: await toolVersions(run),
		resolve,
		workshop,
		content: content.archives,
		signatures: Object.fromEntries(Object.entries(signatures).sort(([a], [b]) => (a < b ? -1 : 1))),
	};
}

async function writeJson(file: string, value: unknown): Promise<void> {
	await writeFile(file, `${JSON.stringify(value, null, "\t")}\n`);
}
