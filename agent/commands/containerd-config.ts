import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { request as plain } from "node:http";
import { request as secure } from "node:https";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { SlipwayError } from "../../bundle/errors.ts";
import { z } from "../../bundle/zod.ts";
import { readConfig } from "../config/read.ts";
import { askAgent } from "../control/client.ts";
import { containerdFiles, HOSTS_FOLDER, originalHosts } from "../registry/containerd.ts";
import type { Status } from "../status/state.ts";
import { replaceFile } from "../store/files.ts";
import type { Command } from "./command.ts";

const catalog = z.object({ repositories: z.array(z.string()) });

export const containerdConfigCommand: Command = {
	name: "containerd-config",
	summary: "Prints the hosts.toml files with which containerd pulls from the registry of the agent that runs",
	options: [{ name: "output", value: "DIR", help: "write them to DIR instead of the terminal" }],
	async run({ config: file, json: asJson, options, print }) {
		const config = await readConfig(file);
		const status = (await askAgent(config.run, "GET", "/v1/status")) as Status | undefined;
		if (status === undefined || status.urls.registry === null)
			throw new SlipwayError("E_AGENT_DOWN", `No agent uses the folder ${config.run}.`);
		const url = new URL(status.urls.registry).origin;
		const ca = status.tlsSha256 === null ? undefined : await certificate(config.store, status.tlsSha256);
		const { repositories } = catalog.parse(await get(`${url}/v2/_catalog`, ca));
		const files = containerdFiles(originalHosts(repositories), url, ca);
		if (typeof options.output === "string") {
			for (const { path, content } of files) await replaceFile(join(options.output, path), content);
			print(
				`${files.map(({ path }) => `${join(options.output as string, path)}\tfor ${HOSTS_FOLDER}/${path}`).join("\n")}`,
			);
		} else if (asJson) {
			print(JSON.stringify({ folder: HOSTS_FOLDER, files }, null, "\t"));
		} else {
			print(files.map(({ path, content }) => `# ${HOSTS_FOLDER}/${path}\n${content}`).join("\n"));
		}
		return 0;
	},
};

/** The certificate that the agent uses; the one on disk is checked against what the agent says. */
async function certificate(store: string, sha256: string): Promise<string> {
	const pem = await readFile(join(store, "state", "tls", "cert.pem"), "utf8").catch((cause: NodeJS.ErrnoException) => {
		throw new SlipwayError("E_IO", `The device's certificate cannot be read: ${cause.code}.`, { cause });
	});
	if (new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase() === sha256) return pem;
	throw new SlipwayError("E_IO", "The certificate in the store is not the one that the agent uses.", {
		next: "Run the command again; if it says the same, restart the agent.",
	});
}

/** JSON from the agent's registry. Errors: E_IO, also while it serves nothing. */
function get(url: string, ca: string | undefined): Promise<unknown> {
	return new Promise((resolve, reject) => {
		const fail = (why: string, cause?: unknown) =>
			reject(
				new SlipwayError("E_IO", `${url} cannot be read: ${why}.`, {
					next: "See `slipway agent status`: names answer from the stage `serving` on.",
					cause,
				}),
			);
		const options = { timeout: 10_000, ...(ca === undefined ? {} : { ca }) };
		const request = ca === undefined ? plain(url, options) : secure(url, options);
		request
			.on("response", (response) => {
				if (response.statusCode !== 200) fail(`it answers ${response.statusCode}`);
				else json(response).then(resolve, (error) => fail(error.message, error));
			})
			.on("timeout", () => request.destroy(new Error("no answer")))
			.on("error", (error) => fail(error.message, error))
			.end();
	});
}
