import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import type { Stage } from "../plan/stage.ts";
import { mksquashfs } from "../tools/mksquashfs.ts";
import { unpackOwnTar } from "../tools/tar.ts";
import { appendHashTree } from "../tools/veritysetup.ts";
import { codeOf } from "./code.ts";

const options = z.strictObject({ epoch: z.int(), without: z.array(z.string()) });

/** Kernel and initrd lie beside the root on the medium; the rest is only of use where packages are installed. */
const WITHOUT = [
	"boot",
	// The address of a private mirror is nobody's business.
	"etc/apt",
	"var/lib/apt",
	"var/cache",
	"var/log",
	"var/tmp",
	"usr/lib/dracut",
	"usr/share/bash-completion",
];

/** The read-only root image: a squashfs, and behind it the hash tree of dm-verity. Its id is the SHA-256 of the whole file. */
export const root: Stage<z.infer<typeof options>> = {
	name: "root",
	summary: "Pack the root image (squashfs, dm-verity)",
	options,
	inputs: ["bootstrap", "overlay", "agent"],
	plan: (build) => ({ epoch: build.archiveEpoch, without: WITHOUT }),
	sources: () => codeOf(import.meta.filename),
	space: () => 1_500_000_000,
	async run({ options: o, inputs, out, work, run }) {
		const folder = join(work, "root");
		await unpackOwnTar(run, join(inputs.bootstrap!, "root.tar"), folder);
		for (const path of o.without) await emptyFolder(folder, path);
		await unpackOwnTar(run, join(inputs.overlay!, "overlay.tar"), folder);
		await unpackOwnTar(run, join(inputs.agent!, "agent.tar"), folder);
		const image = join(out, "rootfs.squashfs");
		await mksquashfs(run, folder, image, o.epoch);
		const { size } = await stat(image);
		const verity = await appendHashTree(run, image, size, await sha256File(image), work);
		const record: RootImage = { rootId: await sha256File(image), verity };
		await writeFile(join(out, "root.json"), `${JSON.stringify(record)}\n`);
	},
};

const hex64 = z.string().regex(/^[0-9a-f]{64}$/);
const rootImage = z.strictObject({
	rootId: hex64,
	verity: z.strictObject({ blocks: z.int().positive(), hash: hex64, salt: hex64 }),
});
/** What the kernel line says of a root image. */
export type RootImage = z.infer<typeof rootImage>;

/** The record of a root image, out of the stage's output. */
export async function readRootImage(folder: string): Promise<RootImage> {
	return rootImage.parse(JSON.parse(await readFile(join(folder, "root.json"), "utf8")));
}

/** Keeps the folder itself, because programs expect it, and the kernel's HMAC, which a FIPS initrd reads there. */
async function emptyFolder(root: string, path: string): Promise<void> {
	for (const name of await readdir(join(root, path)).catch(() => [])) {
		if (!/^\.vmlinuz-.*\.hmac$/.test(name)) await rm(join(root, path, name), { recursive: true });
	}
}

async function sha256File(file: string): Promise<string> {
	const hash = createHash("sha256");
	await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
	return hash.digest("hex");
}
