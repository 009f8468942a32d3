import { join } from "node:path";
import { expect, test } from "vitest";
import { folderWith } from "../../../test/support/packs.ts";
import { pinsHook } from "../../archive/pins.ts";
import type { Base } from "../../profile/schema.ts";
import type { Run } from "../../tools/run.ts";
import type { FetchRequest } from "./archive.ts";
import { ask } from "./ask.ts";

/** What mmdebstrap is called with. */
async function asked(extra: Partial<FetchRequest>) {
	const work = join(await folderWith({ "it's work/keyring.gpg": "" }), "it's work");
	let call: { args: readonly string[]; env: Record<string, string> } | undefined;
	const run: Run = async (_, args, options) => {
		call = { args, env: options?.env ?? {} };
		return { stdout: "", stderr: "", exitCode: 0 };
	};
	const base = {
		suite: "jammy",
		components: ["main"],
		archive: { pockets: [], mirrors: {}, keyrings: [] },
		fips: { stream: "fips", contracts: "https://pro.test" },
	};
	const request = { base: base as unknown as Base, arch: "arm64", packages: ["nginx", "libssl3"], mirror: undefined };
	const options = {
		...request,
		arch: "arm64",
		keyring: join(work, "keyring.gpg"),
		cacheDir: work,
		refresh: false,
		...extra,
	} as const;
	await ask(run, options, work, {});
	return { ...call!, work };
}

test("packages are unpacked by nobody's scripts, and versions of an earlier build are preferred to any other", async () => {
	const file = { arch: "arm64", size: 1, sha256: "a".repeat(64), path: "pool/nginx.deb" };
	const resolve = { inRelease: [], packages: { nginx: "1.2-3" }, boot: {}, files: { nginx: file }, resolvedAt: "" };
	const { args, env, work } = await asked({ pinned: resolve });
	expect(args).toEqual(
		expect.arrayContaining(["--variant=extract", "--architectures=arm64", "--include=nginx,libssl3"]),
	);
	// A quote in the path of the cache must not end the word in mmdebstrap's own splitting.
	expect(args).toContain(
		`--extract-hook=copy-out /var/cache/apt/archives /var/lib/apt/lists '${work.replace("'", "'\\''")}'`,
	);
	expect(args).toContain(`--extract-hook=${pinsHook}`);
	expect(env.SLIPWAY_PINS).toBe(`nginx=1.2-3 ${"a".repeat(64)}`);
	expect(Object.keys(env)).toEqual(["SLIPWAY_PINS", "TMPDIR", "SOURCE_DATE_EPOCH", "INITRD", "DEBIAN_FRONTEND"]);
});

test("with a token the vendor's client fetches them, and only the name of the token's file is passed on", async () => {
	const { args, env, work } = await asked({ proTokenFile: "/secret/token" });
	expect(args).toEqual(
		expect.arrayContaining(["--variant=essential", "--include=apt,ca-certificates,ubuntu-pro-client"]),
	);
	expect(args.find((arg) => arg.startsWith("--customize-hook="))).toMatch(/pro-hook\.sh$/);
	expect(args.join(" ")).not.toContain("/secret/token");
	expect(env).toMatchObject({
		SLIPWAY_PRO_TOKEN_FILE: "/secret/token",
		SLIPWAY_PRO_SERVICE: "fips",
		SLIPWAY_PRO_CONTRACTS: "https://pro.test",
		SLIPWAY_PRO_PACKAGES: "nginx libssl3",
		SLIPWAY_PRO_DOWNLOAD: work,
	});
});
