import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { SlipwayError } from "../../bundle/errors.ts";
import type { BundleIndex, NameRecord } from "../../bundle/index-schema.ts";
import { MEDIA_TYPE, parseManifest } from "../../bundle/oci.ts";
import { parseStrictJson } from "../../bundle/strict-json.ts";
import { loadTrust } from "../../bundle/trust.ts";
import { verifyBundle } from "../../bundle/verify.ts";
import type { Manifest } from "../release/manifest.ts";
import { chroot } from "../tools/chroot.ts";
import { hostArch } from "../tools/host-arch.ts";
import type { Run } from "../tools/run.ts";
import { copyToFolder } from "../tools/skopeo.ts";
import { unpackImage } from "./image-root.ts";
import { get, insist, type Pinned, pin } from "./pinned.ts";
import { type BoxStatus, boxStatus, type Check } from "./report.ts";

/** As insist() does; skopeo doubles its pause each time. */
const PULL_RETRIES = 3;

export interface CheckRequest {
	readonly run: Run;
	/** Folder of the release, and what its manifest says. */
	readonly folder: string;
	readonly manifest: Manifest;
	readonly status: Pinned;
	/** Port of this host that leads to the registry, and the certificate's fingerprint that the console named. */
	readonly registry: { readonly port: number; readonly tlsSha256: string };
	/** Empty scratch folder. */
	readonly work: string;
}

/**
 * Looks at a ready appliance from outside, with the release's files as the measure. What cannot be looked at is a failed check
 * with the reason, so that there is a report of everything else. `status` is null when the appliance does not tell it.
 * Errors: E_INTERRUPTED.
 */
export async function checkBox(o: CheckRequest): Promise<{ status: BoxStatus | null; checks: Check[] }> {
	let status: BoxStatus | null = null;
	const said = await attempt("status", async () => {
		status = await readStatus(o.status);
		return [stageCheck(status), ...identityChecks(o.manifest, status), ...fipsChecks(o.manifest, status)];
	});
	return { status, checks: [...said, ...(await attempt("image", () => checkImage(o)))] };
}

/** The checks that `make` gives, or one failed check named `name` that says why there are none. */
export async function attempt(name: string, make: () => Promise<Check[]>): Promise<Check[]> {
	try {
		return await make();
	} catch (error) {
		if (error instanceof SlipwayError && error.code === "E_INTERRUPTED") throw error;
		return [check(name, false, (error as Error).message)];
	}
}

/** Errors: E_BOOT_CHECK. */
export async function readStatus(at: Pinned): Promise<BoxStatus> {
	const answer = await insist(() => get(at, "/v1/status"));
	if (answer?.status !== 200)
		throw new SlipwayError("E_BOOT_CHECK", `/v1/status answers ${answer?.status ?? "nothing"}.`);
	const parsed = boxStatus.safeParse(parseStrictJson(answer.body));
	if (parsed.success) return parsed.data;
	const { path, message } = parsed.error.issues[0]!;
	throw new SlipwayError("E_BOOT_CHECK", `/v1/status does not fit its form: ${path.join(".")}: ${message}.`);
}

/** A box that is ready may be degraded: it serves, and something is wrong with it. */
function stageCheck({ stage, conditions }: BoxStatus): Check {
	const faults = conditions.filter(({ ok }) => !ok).map(({ code, cause }) => `${code} ${cause}`);
	return check("stage", stage === "ready", [stage, ...faults].join("; "));
}

/** The box is the one that was built, and says about its keys what is true. */
function identityChecks({ buildId, rootId, developmentKey, bundles }: Manifest, status: BoxStatus): Check[] {
	const same = (name: string, box: unknown, built: unknown) => check(name, box === built, `box ${box}, built ${built}`);
	return [
		same("build id", status.buildId, buildId),
		same("root id", status.rootId, rootId),
		same("development key", status.developmentKey, developmentKey),
		...bundles.map(({ name, indexDigest }) => {
			const state = status.bundles.find((bundle) => bundle.indexDigest === indexDigest)?.state ?? "not there";
			return check(`bundle ${name}`, ["committed", "in-place"].includes(state), `${state}, index ${indexDigest}`);
		}),
	];
}

function fipsChecks({ fips }: Manifest, status: BoxStatus): Check[] {
	if (fips === null) return [check("fips", !status.fips.active, "the appliance is not built for FIPS mode")];
	const proofs = ["build", "kernel", "self-test"].map((name) => {
		const proof = status.fips.proofs.find((found) => found.name === name);
		return check(`fips ${name}`, proof?.ok === true, proof?.detail ?? "no proof of that name");
	});
	return [check("fips", status.fips.active, fips.statement), ...proofs];
}

/** Pulls an image as a cluster would, compares every byte with the signed index, and runs a program of it. */
export async function checkImage(o: CheckRequest): Promise<Check[]> {
	const { name, index } = await chooseImage(o);
	const registry = await insist(() => pin(o.registry.port, o.registry.tlsSha256));
	if (registry === undefined) throw new SlipwayError("E_BOOT_CHECK", "The registry does not answer.");
	const image = `127.0.0.1:${o.registry.port}/${name.ref}`;
	const pulled = join(o.work, "pulled");
	await mkdir(pulled);
	const caFile = join(o.work, "box.pem");
	await writeFile(caFile, registry.certificate);
	const access = { authFile: undefined, caFile, secrets: [] };
	await copyToFolder(o.run, image, pulled, access, {}, PULL_RETRIES);
	const manifest = await readFile(join(pulled, "manifest.json"));
	const digest = `sha256:${createHash("sha256").update(manifest).digest("hex")}`;
	return [
		check(`pull ${name.ref}`, digest === name.digest, `pulled ${digest}, signed ${name.digest}`),
		...(await attempt("blobs", async () => [await blobCheck(pulled, manifest, name.mediaType, index)])),
		...(await attempt("nginx -v", () => programCheck(o, pulled, name.ref))),
	];
}

/** An nginx if the release has one, else its first image: out of the signed index on this host, not out of the box's words. */
async function chooseImage(o: CheckRequest): Promise<{ name: NameRecord; index: BundleIndex }> {
	const trust = await loadTrust(join(o.folder, "public_key.pem"));
	const images: { name: NameRecord; index: BundleIndex }[] = [];
	for (const { file } of o.manifest.bundles) {
		const { index } = await verifyBundle(join(o.folder, file), trust);
		const isImage = ({ mediaType, ref }: NameRecord) => mediaType === MEDIA_TYPE.ociManifest && !ref.includes("@");
		images.push(...index.names.filter(isImage).map((name) => ({ name, index })));
	}
	const image = images.find(({ name }) => NGINX.test(name.ref)) ?? images[0];
	if (image === undefined) throw new SlipwayError("E_BOOT_CHECK", "The release holds no image to pull.");
	return image;
}

const NGINX = /\/nginx:[^/]+$/;

async function blobCheck(folder: string, bytes: Buffer, mediaType: string, index: BundleIndex): Promise<Check> {
	const manifest = parseManifest(bytes, mediaType);
	const wanted = manifest.kind === "manifest" ? [manifest.config, ...manifest.layers] : [];
	const signed = new Set(index.blobs.map((blob) => blob.digest));
	const bad: string[] = [];
	for (const { digest } of wanted) {
		const hash = createHash("sha256");
		await pipeline(createReadStream(join(folder, digest.slice("sha256:".length))), hash);
		if (`sha256:${hash.digest("hex")}` !== digest || !signed.has(digest)) bad.push(digest);
	}
	return check(
		"blobs",
		wanted.length > 0 && bad.length === 0,
		bad.length > 0 ? `differ: ${bad.join(", ")}` : `${wanted.length} as signed`,
	);
}

/** `nginx -v` from the pulled image's own root: what arrived is a whole program, not only the right bytes. */
async function programCheck(o: CheckRequest, pulled: string, ref: string): Promise<Check[]> {
	if (!NGINX.test(ref) || o.manifest.arch !== hostArch()) return [];
	const root = join(o.work, "root");
	await unpackImage(pulled, o.work, root);
	const program = await findNginx(root);
	const result = await (process.geteuid?.() === 0
		? chroot(o.run, root, [program, "-v"])
		: o.run("unshare", ["--user", "--map-root-user", "chroot", root, program, "-v"]).catch(explainUnshare));
	const said = `${result.stdout}${result.stderr}`.trim();
	return [check("nginx -v", /^nginx version: /m.test(said), said)];
}

/** Some hosts let only root make user namespaces. */
function explainUnshare(error: unknown): never {
	if (!(error instanceof SlipwayError) || !/unshare failed|uid_map|setgroups/.test(error.message)) throw error;
	const message = "This host lets only root start a program in another root folder. Run the boot check as root.";
	throw new SlipwayError("E_BOOT_CHECK", message, { cause: error });
}

async function findNginx(root: string): Promise<string> {
	for (const folder of ["usr/sbin", "usr/bin", "usr/local/sbin"]) {
		const names: string[] = await readdir(join(root, folder)).catch(() => []);
		if (names.includes("nginx")) return `/${folder}/nginx`;
	}
	throw new SlipwayError("E_BOOT_CHECK", "The pulled image holds no nginx.");
}

export function check(name: string, ok: boolean, detail: string): Check {
	return { name, ok, detail };
}
