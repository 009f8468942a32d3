import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { run } from "../builder/tools/run.ts";

/** A project with the real launcher and script, and an npm that makes what the pinned packages would bring. */
let root: string;
const NODE = `.tools/node_modules/node-linux-${process.arch}/bin/node`;

beforeEach(async () => {
	root = await mkdtemp(path.join(tmpdir(), "slipway-bootstrap-"));
	await mkdir(path.join(root, "scripts", "runtime"), { recursive: true });
	await mkdir(path.join(root, "bin"));
	for (const name of ["slipway", "scripts/bootstrap"]) {
		await copyFile(path.join(import.meta.dirname, "..", name), path.join(root, name));
	}
	for (const name of ["package.json", "package-lock.json", ".npmrc"]) await put(`scripts/runtime/${name}`, "1");
	await put("package-lock.json", "1");
	// The pinned Node is asked for npm once, and for Slipway otherwise.
	const node = `case $1 in *npm-cli.js) echo packages >>${root}/calls; mkdir -p ${root}/node_modules ;; *) echo ran ;; esac`;
	await put("node", `#!/bin/sh\n${node}\n`);
	await put(
		"bin/npm",
		`#!/bin/sh\necho runtime >>${root}/calls\nmkdir -p node_modules/node-linux-${process.arch}/bin\ncp ${root}/node ${root}/${NODE}\nchmod +x ${root}/${NODE}\n`,
	);
	await chmod(path.join(root, "bin", "npm"), 0o755);
});
afterEach(() => rm(root, { recursive: true }));

const put = (name: string, text: string) => writeFile(path.join(root, name), text);

async function slipway() {
	await put("calls", "");
	const result = await run(path.join(root, "slipway"), ["list"], {
		env: { PATH: `${root}/bin:/usr/bin:/bin` },
		accept: [0, 4],
	});
	const calls = (await readFile(path.join(root, "calls"), "utf8")).trim().split("\n");
	return { ...result, calls: calls.filter(Boolean) };
}

test("the launcher installs once, and again after either lock file changed", async () => {
	expect(await slipway()).toMatchObject({ exitCode: 0, stdout: "ran", calls: ["runtime", "packages"] });
	expect(await slipway()).toMatchObject({ exitCode: 0, stdout: "ran", calls: [] });
	await put("package-lock.json", "2");
	expect(await slipway()).toMatchObject({ stdout: "ran", calls: ["packages"] });
	await put("scripts/runtime/package-lock.json", "2");
	expect(await slipway()).toMatchObject({ stdout: "ran", calls: ["runtime"] });
});

test("an installation that was interrupted is not taken for a whole one", async () => {
	const npm = await readFile(path.join(root, "bin", "npm"), "utf8");
	await put("bin/npm", `${npm}kill -9 0\n`);
	await run(path.join(root, "slipway"), ["list"], {
		env: { PATH: `${root}/bin:/usr/bin:/bin` },
		accept: [255],
	});
	await put("bin/npm", npm);
	expect(await slipway()).toMatchObject({ exitCode: 0, stdout: "ran", calls: ["runtime", "packages"] });
});

test("what npm cannot install, and npm missing, are errors with a code and a way out", async () => {
	await put("node", "#!/bin/sh\nexit 1\n");
	expect(await slipway()).toMatchObject({
		exitCode: 4,
		stderr: expect.stringMatching(/^E_ARCHIVE_UNREACHABLE: .*packages.*\n {2}Next: /),
	});
	await rm(path.join(root, ".tools"), { recursive: true });
	await put("bin/npm", "#!/bin/sh\nexit 1\n");
	expect(await slipway()).toMatchObject({
		exitCode: 4,
		stderr: expect.stringMatching(/^E_ARCHIVE_UNREACHABLE: .*Node\.js.*\n {2}Next: /),
	});
});
