import { expect, test } from "vitest";
import { MEDIA_TYPE } from "../../bundle/oci.ts";
import { inWaves, type PlannedManifest, type PlannedRepository } from "./plan.ts";
import { withChildren } from "./sparse.ts";

const away = { mediaType: MEDIA_TYPE.ociManifest, digest: "sha256:away", size: 1 };

function manifest(digest: string, children: Record<string, string> = {}, more: Partial<PlannedManifest> = {}) {
	const listed = Object.entries(children).map(([child, platform]) => ({ digest: child, platform }));
	return { digest, mediaType: "", size: 1, children: listed, absent: [], subject: undefined, ...more };
}

function repository(tags: Record<string, string>, ...manifests: PlannedManifest[]): PlannedRepository {
	const byDigest = new Map(manifests.map((m) => [m.digest, m]));
	const rest = { name: "m/h/app", original: "h/app", blobs: new Map(), referrers: new Map() };
	return { ...rest, manifests: byDigest, tags: new Map(Object.entries(tags)) };
}

const amd64 = manifest("amd64");
const sparse = { absent: [away] };

test("the one image that is here stands for the index, through indexes in indexes, beside its attestation", () => {
	const inner = manifest("inner", { amd64: "linux/amd64", proof: "unknown/unknown" }, sparse);
	const outer = manifest("outer", { inner: "linux/amd64" });
	const whole = manifest("whole", { amd64: "linux/amd64" });
	const repo = repository(
		{ one: "outer", two: "inner", three: "whole", four: "amd64" },
		...[outer, inner, whole, amd64, manifest("proof")],
	);
	const { tags, manifests } = withChildren(repo);
	expect(Object.fromEntries(tags)).toEqual({ one: "amd64", two: "amd64", three: "whole", four: "amd64" });
	expect([...manifests.keys()]).toEqual(["whole", "amd64", "proof"]);
});

test.each([
	[
		"two platforms",
		{ amd64: "linux/amd64", arm64: "linux/arm64" },
		{ "1": "index" },
		/h\/app:1 .*linux\/amd64, linux\/arm64/,
	],
	["none", {}, { "1": "index" }, /h\/app:1 .*none/],
	["a name that is the index's digest", { amd64: "linux/amd64" }, {}, /h\/app@index/],
])("nothing can stand for an index with %s", (_, children, tags, message) => {
	const repo = repository(
		tags as Record<string, string>,
		manifest("index", children, sparse),
		amd64,
		manifest("arm64"),
	);
	expect(() => withChildren(repo)).toThrow(
		expect.objectContaining({ code: "E_TARGET_SPARSE", message: expect.stringMatching(message) }),
	);
});

test("each manifest goes after what it lists and what it is about, whatever the order they are found in", () => {
	const about = (digest: string, subject: string) => manifest(digest, {}, { subject });
	const repo = repository(
		{},
		...[about("proof-of-signature", "signature"), about("signature", "index"), about("of-nothing", "not-here")],
		...[manifest("index", { inner: "x" }), manifest("inner", { amd64: "linux/amd64" }), amd64],
	);
	expect(inWaves(repo).map((wave) => wave.map(({ digest }) => digest))).toEqual([
		["of-nothing", "amd64"],
		["inner"],
		["index"],
		["signature"],
		["proof-of-signature"],
	]);
});
