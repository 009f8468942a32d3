import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { type BuiltBundle, buildBundle } from "../../builder/packs/build-bundle.ts";
import { loadBundleDefinition } from "../../builder/packs/definition.ts";
import { debPath } from "../../builder/packs/packages/archive.ts";
import { loadBase } from "../../builder/profile/base.ts";
import { chroot } from "../../builder/tools/chroot.ts";
import { run as plainRun } from "../../builder/tools/run.ts";
import { verifyBundle } from "../../bundle/verify.ts";
import { testSigner, trustOf } from "../support/bundles.ts";
import { definitionYaml, folderWith, projectRoot } from "../support/packs.ts";

/**
 * Images made from packages of Debian 13, with and without FIPS, judged by programs that are not ours: zstd and tar open the
 * bundle, skopeo reads the images, umoci unpacks them, and their own programs run in the unpacked roots.
 */

const signer = testSigner();
let cacheDir: string;

interface Options {
	readonly fips?: boolean;
	readonly definition?: string;
	readonly cacheDir?: string;
	readonly pinned?: BuiltBundle["resolve"];
	readonly arch?: "amd64" | "arm64";
}

async function build(options: Options = {}): Promise<{ bundle: BuiltBundle; cached: boolean[]; outDir: string }> {
	const outDir = await folderWith();
	const cached: boolean[] = [];
	const bundle = await buildBundle({
		root: projectRoot,
		definition: await loadBundleDefinition(projectRoot, options.definition ?? "core"),
		base: await loadBase(projectRoot, "debian-13"),
		...{
			arch: options.arch ?? "amd64",
			fips: options.fips === true,
			versionSuffix: "",
			epoch: 1_790_000_000,
			signer,
			outDir,
		},
		cacheDir: options.cacheDir ?? cacheDir,
		...{ mirror: undefined, keyring: undefined, refresh: false, pinned: options.pinned },
		registry: { authFile: undefined, caFile: undefined, secrets: [] },
		run: plainRun,
		onPack: (_, wasCached) => cached.push(wasCached),
	});
	return { bundle, cached, outDir };
}

/** The image layout inside a bundle, as zstd and tar see it. */
async function layoutOf(bundle: BuiltBundle): Promise<string> {
	const folder = await folderWith();
	const tar = join(folder, "bundle.tar");
	await plainRun("zstd", ["-dq", bundle.path, "-o", tar]);
	await plainRun("tar", ["-C", folder, "-xf", tar]);
	return folder;
}

async function unpack(layout: string, image: string): Promise<string> {
	const target = await folderWith();
	// umoci takes no full name for an image: skopeo gives it a short one, and must not change a byte on the way.
	const args = ["copy", "-q", "--preserve-digests", `oci:${layout}:${image}`, `oci:${target}/image:it`];
	await plainRun("skopeo", args);
	await plainRun("umoci", ["unpack", "--image", `${target}/image:it`, `${target}/unpacked`]);
	return join(target, "unpacked", "rootfs");
}

const json = async (file: string) => JSON.parse(await readFile(file, "utf8"));
const blob = (layout: string, digest: string) => json(join(layout, "blobs", ...digest.split(":")));

beforeAll(async () => {
	cacheDir = await folderWith();
});

describe.each([
	["with FIPS", true, "core-fips"],
	["without FIPS", false, "core"],
])("core %s", (_, fips, name) => {
	let bundle: BuiltBundle;
	let layout: string;
	const roots: Record<string, string> = {};
	beforeAll(async () => {
		({ bundle } = await build({ fips }));
		layout = await layoutOf(bundle);
		for (const image of ["nginx", "redis"]) roots[image] = await unpack(layout, `slipway.local/${name}/${image}:1.0.0`);
	});

	test("verifies, and says what it is", async () => {
		const { index } = await verifyBundle(bundle.path, trustOf(signer));
		expect(index).toMatchObject({ name: "core", arch: "amd64", fips, exceptions: [] });
		expect(index.packs.map((pack) => [pack.name, pack.fips])).toEqual([
			["nginx", fips],
			["redis", fips],
			["web", "n/a"],
		]);
		expect(index.names.every(({ ref }) => ref.startsWith(`slipway.local/${name}/`))).toBe(true);
	});

	test.each([
		["nginx", ["/usr/sbin/nginx", "-v"], /nginx version: nginx\/1\./],
		["redis", ["/usr/bin/redis-server", "--version"], /Redis server v=/],
	])("%s runs from its own files, as its own user", async (image, argv, says) => {
		const { stdout, stderr } = await plainRun("chroot", ["--userspec=65532:65532", roots[image]!, ...argv]);
		expect(stdout + stderr).toMatch(says);
	});

	test("nginx takes its configuration without root", async () => {
		// A container's runtime gives the pipes of a program to its user; here a file stands for them.
		const script = [
			'mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" && mount -t tmpfs tmp "$1/tmp"',
			'&& install -o 65532 /dev/null "$1/tmp/log"',
			'&& chroot --userspec=65532:65532 "$1" /usr/sbin/nginx -t >"$1/tmp/log" 2>&1; cat "$1/tmp/log"',
		].join(" ");
		const { stdout } = await plainRun("unshare", [
			"--mount",
			"--propagation=private",
			"sh",
			"-c",
			script,
			"sh",
			roots.nginx!,
		]);
		expect(stdout).toContain("test is successful");
		expect(stdout).not.toMatch(/emerg|alert|warn/);
	});

	test.each(["nginx", "redis"])("%s has no shell, no package manager and no set-uid program", async (image) => {
		const { stdout } = await plainRun("find", [roots[image]!, "-printf", "%P %y %m\n"]);
		const files = stdout.split("\n").map((line) => line.split(" ") as [string, string, string]);
		const programs = files
			.filter(([path, type]) => /^(usr\/)?s?bin\//.test(path) && type !== "d")
			.map(([path]) => path);
		expect(programs.length).toBeGreaterThan(0);
		expect(programs.filter((path) => /\/(sh|bash|dash|busybox|dpkg.*|apt.*|perl.*)$/.test(path))).toEqual([]);
		expect(files.filter(([, type, mode]) => type === "f" && Number.parseInt(mode, 8) & 0o6000)).toEqual([]);
		await expect(plainRun("chroot", [roots[image]!, "/bin/sh", "-c", "true"])).rejects.toMatchObject({
			code: "E_TOOL_FAILED",
		});
	});

	test.each(["nginx", "redis"])("%s: user, entrypoint and labels, as skopeo reads them", async (image) => {
		const from = `oci:${layout}:slipway.local/${name}/${image}:1.0.0`;
		const { config, architecture } = JSON.parse((await plainRun("skopeo", ["inspect", "--config", from])).stdout);
		expect(architecture).toBe("amd64");
		expect(config.User).toBe("65532:65532");
		expect(config.Entrypoint[0]).toMatch(new RegExp(`^/usr/s?bin/${image}`));
		expect(config.Labels).toMatchObject({
			"org.opencontainers.image.version": "1.0.0",
			"org.opencontainers.image.licenses": expect.any(String),
			"org.opencontainers.image.created": expect.stringMatching(/^20\d\d-/),
			"slipway.fips": String(fips),
		});
		expect(config.Labels["slipway.fips.provider"]).toEqual(
			fips ? expect.stringMatching(/^openssl-provider-fips \d/) : undefined,
		);
	});

	test.each(["nginx", "redis"])("%s has its packages as a CycloneDX referrer", async (image) => {
		const { manifests } = await json(join(layout, "index.json"));
		const refs = manifests.map(
			(m: { annotations: Record<string, string> }) => m.annotations["org.opencontainers.image.ref.name"],
		);
		const tag = manifests[refs.indexOf(`slipway.local/${name}/${image}:1.0.0`)];
		const at = refs.findIndex((ref: string) => ref.startsWith(`slipway.local/${name}/${image}@`));
		const referrer = await blob(layout, manifests[at].digest);
		expect(referrer).toMatchObject({ artifactType: "application/vnd.cyclonedx+json", subject: { digest: tag.digest } });
		const bom = await blob(layout, referrer.layers[0].digest);
		const listed = bom.components.map((c: { name: string }) => c.name).sort();
		expect(listed).toEqual((await readdir(join(roots[image]!, "var/lib/dpkg/status.d"))).sort());
		expect(listed).toEqual(expect.arrayContaining([image === "redis" ? "redis-server" : "nginx", "libc6"]));
		expect(listed.includes("openssl-provider-fips")).toBe(fips);
	});

	test("the image's own libcrypto refuses MD5 with FIPS, and only then", async () => {
		for (const image of ["nginx", "redis"]) {
			const root = roots[image]!;
			await plainRun("cp", [await opensslProgram(bundle), join(root, "usr/bin/openssl")]);
			const digest = (algorithm: string) =>
				chroot(plainRun, root, ["/usr/bin/openssl", "dgst", algorithm, "/etc/passwd"], { accept: [0, 1] });
			expect((await digest("-sha256")).exitCode).toBe(0);
			expect((await digest("-md5")).exitCode).toBe(fips ? 1 : 0);
		}
	});

	test("the chart names these images by digest", async () => {
		const chart = bundle.index.names.find(({ ref }) => ref.endsWith("/web:1.0.0"))!;
		const { layers } = await blob(layout, chart.digest);
		const { stdout } = await plainRun("tar", [
			"-xzOf",
			join(layout, "blobs", ...layers[0].digest.split(":")),
			"web/values.yaml",
		]);
		for (const image of ["nginx", "redis"]) {
			const { ref, digest } = bundle.index.names.find((n) => n.ref === `slipway.local/${name}/${image}:1.0.0`)!;
			expect(parse(stdout).images[image]).toBe(`${ref}@${digest}`);
		}
	});
});

/** The distribution's openssl, from the package that the build fetched. */
async function opensslProgram({ resolve }: BuiltBundle): Promise<string> {
	await build({ fips: true }); // only then is it fetched
	const folder = await folderWith();
	const names = (await readdir(join(cacheDir, "resolve"))).map((name) => join(cacheDir, "resolve", name));
	const sets = await Promise.all(names.map(json));
	const deb = sets.flatMap((set) => set.debs).find(({ name }: { name: string }) => name === "openssl");
	expect(resolve?.packages.libssl3t64).toBe(deb.version);
	await plainRun("dpkg-deb", ["-x", debPath(cacheDir, deb.sha256), folder]);
	return join(folder, "usr/bin/openssl");
}

test("same inputs, same bytes in a fresh cache; an unchanged bundle builds nothing", async () => {
	const first = await build({ fips: true });
	expect(first.cached).toEqual([true, true, true]);
	const fresh = await build({ fips: true, cacheDir: await folderWith(), pinned: first.bundle.resolve });
	expect(fresh.cached).toEqual([false, false, false]);
	expect(fresh.bundle.indexDigest).toBe(first.bundle.indexDigest);
	expect(fresh.bundle.sha256).toBe(first.bundle.sha256);
	expect(await readFile(fresh.bundle.sigPath)).toEqual(await readFile(first.bundle.sigPath));
});

test("a blob that went missing from the cache is made again", async () => {
	const { bundle } = await build();
	const layer = bundle.index.blobs.toSorted((a, b) => b.size - a.size)[0]!;
	await plainRun("rm", [join(cacheDir, "blobs", ...layer.digest.split(":"))]);
	const again = await build();
	expect(again.cached.filter((cached) => !cached)).toHaveLength(1);
	expect(again.bundle.indexDigest).toBe(bundle.indexDigest);
});

test("a package set that the archive no longer has is an error, not another set", async () => {
	const { bundle } = await build();
	const packages = { ...bundle.resolve!.packages, nginx: "1.0-1" };
	const pinned = { ...bundle.resolve!, packages };
	await expect(build({ pinned })).rejects.toMatchObject({
		code: "E_ARCHIVE_CHANGED",
		message: expect.stringContaining("nginx=1.0-1"),
	});
});

test("an image for arm64 is made here without running anything of it", async () => {
	const { bundle } = await build({ arch: "arm64" });
	const layout = await layoutOf(bundle);
	const { stdout } = await plainRun("skopeo", ["inspect", "--config", `oci:${layout}:slipway.local/core/nginx:1.0.0`]);
	expect(JSON.parse(stdout).architecture).toBe("arm64");
});

const IMAGE = "- { name: web, source: packages, packages: [nginx], drop: [iproute2], entrypoint: [/usr/sbin/nginx]";
const FIPS_MODULE = "/usr/lib/x86_64-linux-gnu/ossl-modules/fips.so";
test.each([
	[
		"a library that is dropped",
		`${IMAGE.replace("iproute2", "iproute2, libpcre2-8-0")} }`,
		false,
		/nginx needs libpcre2-8\.so\.0/,
	],
	["a shell that nobody asked for", `${IMAGE}, keep: [dash] }`, false, /\/usr\/bin\/sh is in it/],
	["a program that is not there", `${IMAGE.replace("sbin", "bin")} }`, false, /no program \/usr\/bin\/nginx/],
	[
		"a FIPS module that is none",
		`${IMAGE}, files: { ${FIPS_MODULE}: { text: "no module" } } }`,
		true,
		/self-tests fail/,
	],
	["FIPS switched off by its environment", `${IMAGE}, env: { OPENSSL_CONF: /dev/null } }`, true, /sets OPENSSL_CONF/],
])("refuses an image with %s, and keeps nothing of it", async (_, packs, fips, message) => {
	const folder = await folderWith({ "test.yaml": definitionYaml(packs) });
	const before = (await readdir(join(cacheDir, "packs"))).length;
	const out = build({ definition: join(folder, "test.yaml"), fips });
	await expect(out).rejects.toMatchObject({ code: "E_PACK", message: expect.stringMatching(message) });
	expect((await readdir(join(cacheDir, "packs"))).length).toBe(before);
	expect(await readdir(join(cacheDir, "tmp"))).toEqual([]);
});
