import { readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { build as bundleScript, type Plugin } from "esbuild";
import { z } from "zod";
import { applianceConfig, trustFile } from "../../bundle/appliance.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { checkPresent } from "../archive/dpkg.ts";
import { FileTree } from "../oci/file-tree.ts";
import type { Build } from "../plan/build.ts";
import { nodeProgram } from "../plan/foreign.ts";
import type { Stage } from "../plan/stage.ts";
import { codeOf } from "./code.ts";
import { ledsDropIn } from "./leds.ts";
import { OPENSSL_FIPS_CNF, OPENSSL_FIPS_PATH } from "./openssl-fips.ts";
import { textFile, writeTreeTar } from "./tree-tar.ts";

const options = z.strictObject({
	config: applianceConfig,
	trust: trustFile,
	/** Public keys, and the chain of statements, by file name. */
	pems: z.record(z.string(), z.string()),
	statements: z.record(z.string(), z.base64()),
	/** OpenSSL's folder of providers; null: not in FIPS mode. */
	modulesDir: z.string().nullable(),
	nodeArch: z.enum(["x64", "arm64"]),
	epoch: z.int(),
});
type Options = z.infer<typeof options>;

/** The pinned Node.js, the agent's script, its configuration and its trust store. */
export const agent: Stage<Options> = {
	name: "agent",
	summary: "Bundle the agent, with its configuration and trust store",
	options,
	inputs: ["bootstrap"],
	// Only to record the version of the FIPS provider that was installed.
	reads: ({ profile }) => profile.fips,
	plan: (build) => ({
		config: configOf(build),
		trust: build.trust.file,
		pems: { ...build.trust.pems },
		statements: { ...build.trust.statements },
		modulesDir: build.profile.fips ? (build.base.fips?.modulesDir[build.profile.arch] ?? null) : null,
		nodeArch: build.profile.arch === "arm64" ? "arm64" : "x64",
		epoch: build.archiveEpoch,
	}),
	sources: ({ root }) => [
		...codeOf(import.meta.filename),
		join(root, "agent"),
		join(root, "bundle"),
		// The bundler takes its target's rules from it.
		join(root, "tsconfig.json"),
		join(root, "package-lock.json"),
		join(root, "scripts/runtime/package-lock.json"),
	],
	space: () => 200_000_000,
	async run({ build, options: o, inputs, out, work }) {
		const config = await recordProvider(o.config, inputs.bootstrap);
		const scripts = await bundleAgent(join(build.root, "agent/cli.ts"), work);
		const node = nodeProgram(build.root, build.profile.arch, build.hostArch);
		const tree = new FileTree();
		const program = async (file: string, mode: number) => {
			const { size } = await stat(file).catch((cause) => {
				throw new SlipwayError("E_TOOL_MISSING", `There is no ${file}.`, { cause, next: "Run scripts/bootstrap." });
			});
			return { type: "file", mode, uid: 0, gid: 0, content: { file, size } } as const;
		};
		tree.set("usr/lib/slipway/node", await program(node, 0o755));
		for (const name of scripts) tree.set(`usr/lib/slipway/${name}`, await program(join(work, name), 0o644));
		tree.set("etc/slipway/appliance.json", textFile(json(config)));
		tree.set("etc/slipway/trust/trust.json", textFile(json(o.trust)));
		for (const [name, pem] of Object.entries(o.pems)) tree.set(`etc/slipway/trust/${name}`, textFile(pem));
		for (const [name, base64] of Object.entries(o.statements)) {
			tree.set(`etc/slipway/trust/statements/${name}`, textFile(Buffer.from(base64, "base64").toString("utf8")));
		}
		if (Object.keys(config.leds).length > 0) {
			tree.set("usr/lib/systemd/system/slipway-agent.service.d/leds.conf", textFile(ledsDropIn(config.leds)));
		}
		if (o.modulesDir !== null) {
			tree.set(OPENSSL_FIPS_PATH, textFile(OPENSSL_FIPS_CNF));
			tree.set("usr/lib/systemd/system/slipway-agent.service.d/fips.conf", textFile(fipsDropIn(o.modulesDir)));
		}
		await writeTreeTar(join(out, "agent.tar"), tree, o.epoch);
	},
};

/**
 * An import of `node:http` in the newer format asks for each of its exports, one of which loads all of Node's WebSocket
 * client; require() does not.
 */
const httpByRequire: Plugin = {
	name: "http-by-require",
	setup: ({ onResolve, onLoad }) => {
		onResolve({ filter: /^node:https?$/, namespace: "file" }, ({ path, kind }) =>
			kind === "import-statement" ? { path, namespace: "by-require" } : undefined,
		);
		onLoad({ filter: /.*/, namespace: "by-require" }, ({ path }) => ({
			contents: `module.exports = require(${JSON.stringify(path)});`,
		}));
	},
};

/** Nobody chooses another language, and all of them would be read at each start. */
const onlyEnglish: Plugin = {
	name: "only-english",
	setup: ({ onLoad }) =>
		onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, ({ path }) => ({
			contents: 'export { default as en } from "./en.js";',
			resolveDir: dirname(path),
		})),
};

/** What Fastify asks for where routes have JSON Schemas (`createApp` lets none have one), and in tests: 0.4 MB. */
const NEVER_ASKED_FOR = ["@fastify/ajv-compiler", "@fastify/fast-json-stringify-compiler", "light-my-request"];

/**
 * `agent.mjs`, and beside it what it reads later or never, such as a YAML parser; the names of all. No trace of the build host: same
 * sources, same bytes.
 */
export async function bundleAgent(entry: string, folder: string): Promise<string[]> {
	const { metafile } = await bundleScript({
		entryPoints: [{ in: entry, out: "agent" }],
		outdir: folder,
		bundle: true,
		splitting: true,
		chunkNames: "agent-[name]-[hash]",
		outExtension: { ".js": ".mjs" },
		platform: "node",
		target: "node24",
		format: "esm",
		// Libraries in the older module format ask for Node's own modules with require().
		banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
		legalComments: "none",
		// Shorter to read at each start; names stay as they are, for stack traces.
		minifyWhitespace: true,
		minifySyntax: true,
		plugins: [httpByRequire, onlyEnglish],
		external: NEVER_ASKED_FOR,
		absWorkingDir: join(entry, "../.."),
		logLevel: "silent",
		metafile: true,
	});
	return Object.keys(metafile.outputs).map((path) => basename(path));
}

function configOf({ profile, base, version }: Build): Options["config"] {
	const fips = profile.fips ? base.fips : null;
	return applianceConfig.parse({
		product: profile.product,
		version,
		profile: profile.name,
		arch: profile.arch,
		fips: profile.fips,
		fipsModule:
			fips === null
				? null
				: {
						provider: fips.provider,
						// Known when it is installed.
						version: "",
						stream: fips.stream,
						certificate: fips.certificate,
					},
		content: "/run/slipway-medium/content",
		trust: "/etc/slipway/trust",
		requirements: profile.requirements,
		network: { expose: profile.network.expose },
		registry: profile.registry,
		leds: profile.leds,
		consoles: ["/dev/tty1", `/dev/${profile.console.serial}`],
	});
}

/** The first proof of FIPS mode: which provider was really installed. Errors: E_ARCHIVE_CHANGED when none was. */
async function recordProvider(config: Options["config"], bootstrap: string | undefined): Promise<Options["config"]> {
	if (config.fipsModule === null) return config;
	const packages = JSON.parse(await readFile(join(bootstrap!, "packages.json"), "utf8")) as Record<string, string>;
	const { provider } = config.fipsModule;
	checkPresent(packages, [provider]);
	return { ...config, fipsModule: { ...config.fipsModule, version: packages[provider]! } };
}

/** The agent under the distribution's FIPS provider: without it Node.js refuses to start, and the failure unit says so. */
function fipsDropIn(modulesDir: string): string {
	return [
		"[Service]",
		`Environment=OPENSSL_CONF=/${OPENSSL_FIPS_PATH} OPENSSL_MODULES=${modulesDir}`,
		"ExecStart=",
		"ExecStart=/usr/lib/slipway/node --force-fips /usr/lib/slipway/agent.mjs --config /etc/slipway/appliance.json",
		"",
	].join("\n");
}

function json(value: unknown): string {
	return `${JSON.stringify(value, null, "\t")}\n`;
}
