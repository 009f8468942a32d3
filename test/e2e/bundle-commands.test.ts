import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { beforeAll, expect, test } from "vitest";
import { run as plainRun } from "../../builder/tools/run.ts";
import { folderWith, projectRoot } from "../support/packs.ts";
import { freePort } from "../support/registry.ts";

/** `slipway bundle build|inspect|verify` as a user types them, and an agent on this host that serves what was built. */

const slipway = (...args: string[]) =>
	plainRun(join(projectRoot, "slipway"), ["bundle", ...args], { accept: [0, 2, 6] });
let built: { name: string; folder: string; file: string; indexDigest: string; fips: boolean; base: string };
let key: string;

beforeAll(async () => {
	const dist = await folderWith();
	const { stdout } = await slipway("build", "profiles/bundles/core.yaml", "--out", dist, "--json");
	built = JSON.parse(stdout);
	key = join(built.folder, "public_key.pem");
});

test("an agent loads the folder, and skopeo gets the same image from it", async () => {
	const [registryPort, statusPort] = [await freePort(), await freePort()];
	const folder = await folderWith();
	const config = {
		content: built.folder,
		trust: key,
		store: join(folder, "store"),
		run: join(folder, "run"),
		network: { registryPort, statusPort },
	};
	await writeFile(join(folder, "agent.json"), JSON.stringify(config));
	const agent = execa(join(projectRoot, "slipway"), ["agent", "--config", join(folder, "agent.json")], {
		reject: false,
		stdout: "ignore",
		stderr: "ignore",
	});
	try {
		const status = () =>
			fetch(`http://127.0.0.1:${statusPort}/readyz`).then(
				(answer) => answer.status,
				() => 0,
			);
		await expect.poll(status, { timeout: 300_000, interval: 100 }).toBe(200);
		const index = JSON.parse((await slipway("inspect", built.file, "--json")).stdout).index;
		for (const { ref, digest } of index.names as { ref: string; digest: string }[]) {
			const { stdout } = await plainRun("skopeo", [
				"inspect",
				"--raw",
				"--tls-verify=false",
				`docker://127.0.0.1:${registryPort}/${ref}`,
			]);
			expect(JSON.parse(stdout).schemaVersion, digest).toBe(2);
		}
		const image = `docker://127.0.0.1:${registryPort}/slipway.local/core/nginx:1.0.0`;
		await plainRun("skopeo", ["copy", "-q", "--src-tls-verify=false", image, `dir:${folder}/nginx`]);
		const wanted = index.names.find(({ ref }: { ref: string }) => ref === "slipway.local/core/nginx:1.0.0").digest;
		expect(`sha256:${(await plainRun("sha256sum", [`${folder}/nginx/manifest.json`])).stdout.split(" ")[0]}`).toBe(
			wanted,
		);
	} finally {
		agent.kill("SIGTERM");
		await agent;
	}
});

test("inspect and verify, and the exit code of a bad file", async () => {
	expect(built).toMatchObject({ name: "core", fips: false, base: "debian-13" });
	const shown = await slipway("inspect", built.file);
	expect(shown.stdout).toContain("NOT CHECKED");
	expect(JSON.parse((await slipway("inspect", built.file, "--key", key, "--json")).stdout)).toMatchObject({
		indexDigest: built.indexDigest,
		signature: { checked: true },
	});
	expect((await slipway("verify", built.folder, "--key", key)).exitCode).toBe(0);
	expect((await plainRun("sh", [join(built.folder, "verify.sh")])).exitCode).toBe(0);

	const { size } = await stat(built.file);
	const bytes = await readFile(built.file);
	bytes[Math.floor(size / 2)]! ^= 1;
	await writeFile(built.file, bytes);
	const bad = await slipway("verify", built.folder, "--key", key);
	expect([bad.exitCode, bad.stderr]).toEqual([
		6,
		expect.stringMatching(/^E_FRAME: Data frame \d+ \(bytes \d+ to \d+\)[^\n]*\n {2}Next: [^\n]*\n?$/),
	]);
	expect((await plainRun("sh", [join(built.folder, "verify.sh")], { accept: [6] })).exitCode).toBe(6);
	const empty = await slipway("verify", await folderWith(), "--key", key);
	expect([empty.exitCode, empty.stderr]).toEqual([6, expect.stringContaining("E_EMPTY")]);
	expect((await slipway("verify", built.folder)).exitCode).toBe(2);
});
