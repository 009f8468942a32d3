import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestSigner, testSigner } from "../support/bundles.ts";
import { makeContent, type TestContent } from "../support/content.ts";
import { keysOf, TestChain } from "../support/statements.ts";

/**
 * A vendor's three releases of two bundles, each a content folder: some images are those of the release before. The second
 * carries a rotation, the third also a denylist and a reset of a floor that nothing stands on.
 */
export interface Scene {
	/** Trust store of the box: one root key, one release key. */
	readonly trust: string;
	/** PEM of the key that signs everything. */
	readonly publicKey: string;
	readonly releases: readonly TestContent[];
	/** Statements that come with each release. */
	readonly statements: readonly number[];
}

export interface SceneSize {
	readonly images: number;
	/** Bytes of the layers of each image, and of the one image of the second bundle. */
	readonly layers: readonly number[];
	readonly large: readonly number[];
}

export async function makeScene(folder: string, seed: string, size: SceneSize): Promise<Scene> {
	const [root, signer, next] = [testSigner(), testSigner(), testSigner()];
	const trust = await writeTrust(join(folder, "trust"), root, signer);
	const chain = new TestChain(root);
	const releases: TestContent[] = [];
	const statements: number[] = [];
	for (const sequence of [1, 2, 3]) {
		if (sequence === 2) await chain.add("rotate", { release: keysOf(1, signer, next) });
		if (sequence === 3) {
			await chain.add("deny", { keys: [testSigner().keyId] });
			await chain.add("floor-reset", { products: [{ product: "another", sequence: 1 }] });
		}
		const content = await makeRelease(join(folder, String(sequence)), seed, size, sequence, signer);
		await chain.write(content.content);
		releases.push(content);
		statements.push(chain.list.length);
	}
	return { trust, publicKey: signer.publicKeyPem, releases, statements };
}

async function makeRelease(dir: string, seed: string, size: SceneSize, sequence: number, signer: TestSigner) {
	const version = `${sequence}.0.0`;
	// A third of the images is new with each release.
	const first = Math.ceil(size.images / 3) * sequence;
	const refs = Array.from({ length: size.images }, (_, i) => `example.com/apps/image-${first + i}:1`);
	const apps = { seed, refs, layers: size.layers, input: { name: "apps", version, sequence } };
	const base = { seed: `${seed} ${sequence}`, layers: size.large, input: { name: "base", version, sequence } };
	const content = await makeContent(dir, [apps, base], signer);
	const release = { ...content.release, version, sequence };
	await content.writeRelease(release);
	return { ...content, release };
}

async function writeTrust(folder: string, root: TestSigner, release: TestSigner): Promise<string> {
	await mkdir(folder, { recursive: true });
	await writeFile(join(folder, "root.pem"), root.publicKeyPem);
	await writeFile(join(folder, "release.pem"), release.publicKeyPem);
	const role = (file: string) => ({ threshold: 1, keys: [{ file }] });
	const text = { format: 1, release: role("release.pem"), root: role("root.pem") };
	await writeFile(join(folder, "trust.json"), JSON.stringify(text));
	return folder;
}
