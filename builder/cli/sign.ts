import { addSignature } from "../signing/further.ts";
import { openSigner } from "../signing/open-signer.ts";
import { displayPath } from "../yaml/load.ts";
import type { CommandContext } from "./command.ts";

interface Options {
	readonly key: string;
	readonly passphraseFile?: string;
}

/** Adds the key's signature to each file. Errors: those of openSigner and addSignature. */
export async function sign({ root, print }: CommandContext, options: Options, files: string[]): Promise<void> {
	const signer = await openKey(root, options.key, options.passphraseFile);
	const done: { file: string; written: string | null }[] = [];
	for (const file of files) done.push({ file, written: (await addSignature(file, signer)) ?? null });
	print(
		() =>
			done
				.map(({ file, written }) =>
					written === null
						? `${file}: this key had signed it\n`
						: `${displayPath(written)}: signed by ${signer.keyId}\n`,
				)
				.join(""),
		() => ({ key: signer.keyId, files: done }),
	);
}

/** A key that was named on the command line. Errors: those of openSigner. */
export function openKey(root: string, signingKey: string, passphraseFile: string | undefined) {
	return openSigner({ root, cacheDir: `${root}/.cache`, signingKey, passphraseFile });
}
