import { expect, test } from "vitest";
import { MEDIA_TYPE } from "../../bundle/oci.ts";
import {
	absent,
	artifact,
	blobs,
	byDigest,
	described,
	image,
	image512,
	NGINX,
	names,
	orphan,
	REPOSITORIES,
	referrersOf,
	SBOM,
	SIGNATURE,
	sbom512,
	sbomType,
	TAG_LIST,
	TAGS,
	testRows,
} from "../../test/support/conformance.ts";
import { type Answer, record, serveView } from "../../test/support/memory-registry.ts";
import { buildView } from "./build-view.ts";

testRows({
	"Listing tags": {
		"all, in lexical order without regard to case": {
			ask: `GET ${TAG_LIST}`,
			status: 200,
			has: { "content-type": /^application\/json/, link: null },
			json: { name: NGINX, tags: TAGS },
		},
		"n: that many, and a link to the rest": {
			ask: `GET ${TAG_LIST}?n=3`,
			status: 200,
			has: { link: `<${TAG_LIST}?n=3&last=${TAGS[2]}>; rel="next"` },
			json: { name: NGINX, tags: TAGS.slice(0, 3) },
		},
		"n: as many as there are, without a link": {
			ask: `GET ${TAG_LIST}?n=8`,
			status: 200,
			has: { link: null },
			json: { name: NGINX, tags: TAGS },
		},
		"n=0: an empty list, and no link": {
			ask: `GET ${TAG_LIST}?n=0`,
			status: 200,
			has: { link: null },
			json: { name: NGINX, tags: [] },
		},
		"last: what comes after it": {
			ask: `GET ${TAG_LIST}?last=a-B.c`,
			status: 200,
			json: { name: NGINX, tags: TAGS.slice(TAGS.indexOf("a-B.c") + 1) },
		},
		"last need not be a tag": {
			ask: `GET ${TAG_LIST}?last=lz&n=1`,
			status: 200,
			json: { name: NGINX, tags: ["multi"] },
		},
		"beyond the last: none": { ask: `GET ${TAG_LIST}?last=zzz&n=5`, status: 200, json: { name: NGINX, tags: [] } },
		"a digest is no tag": {
			ask: "GET /v2/quay.io/a/big/tags/list",
			status: 200,
			json: { name: "quay.io/a/big", tags: ["1"] },
		},
		HEAD: { ask: `HEAD ${TAG_LIST}`, status: 200 },
		"a repository that is not there: 404": { ask: "GET /v2/no/such/tags/list", status: 404, code: "NAME_UNKNOWN" },
		...Object.fromEntries(
			["n=x", "n=-1", "n=1.5", "n=", "n=99999999999", "n=1&n=2", "last=a&last=b"].map((query) => [
				`${query}: 400`,
				{ ask: `GET ${TAG_LIST}?${query}`, status: 400, code: "PAGINATION_NUMBER_INVALID" },
			]),
		),
	},
	"Listing repositories (Docker's _catalog, which the spec leaves to registries)": {
		all: { ask: "GET /v2/_catalog", status: 200, has: { link: null }, json: { repositories: REPOSITORIES } },
		"in pages": {
			ask: "GET /v2/_catalog?n=2",
			status: 200,
			has: { link: '</v2/_catalog?n=2&last=quay.io%2Fa%2Fbig>; rel="next"' },
			json: { repositories: REPOSITORIES.slice(0, 2) },
		},
		"after last": {
			ask: "GET /v2/_catalog?n=2&last=quay.io%2Fa%2Fbig",
			status: 200,
			has: { link: null },
			json: { repositories: REPOSITORIES.slice(2) },
		},
	},
	"Listing referrers": {
		"an image index of descriptors with artifactType and annotations; without one, the config's type": {
			ask: `GET /v2/${NGINX}/referrers/${image.digest}`,
			status: 200,
			has: { "content-type": MEDIA_TYPE.ociIndex, "oci-filters-applied": null, link: null },
			json: referrersOf(...[SBOM, SIGNATURE].sort(byDigest)),
		},
		"filtered by artifactType, and it says so": {
			ask: `GET /v2/${NGINX}/referrers/${image.digest}?artifactType=${encodeURIComponent(sbomType)}`,
			status: 200,
			has: { "oci-filters-applied": "artifactType" },
			json: referrersOf(SBOM),
		},
		"a filter that nothing fits": {
			ask: `GET /v2/${NGINX}/referrers/${image.digest}?artifactType=other`,
			status: 200,
			has: { "oci-filters-applied": "artifactType" },
			json: referrersOf(),
		},
		"a subject that is not there has its referrers": {
			ask: `GET /v2/${NGINX}/referrers/${absent.digest}`,
			status: 200,
			json: referrersOf({ ...described(orphan), artifactType: sbomType }),
		},
		"a subject that nobody knows: 200 and an empty list, never 404": {
			ask: `GET /v2/${NGINX}/referrers/sha256:${"9".repeat(64)}`,
			status: 200,
			has: { "content-type": MEDIA_TYPE.ociIndex },
			json: referrersOf(),
		},
		sha512: {
			ask: `GET /v2/quay.io/a/big/referrers/${image512.digest}`,
			status: 200,
			json: referrersOf({ ...described(sbom512), artifactType: sbomType }),
		},
		"only those of this repository": {
			ask: `GET /v2/quay.io/a/docker/referrers/${image.digest}`,
			status: 200,
			json: referrersOf(),
		},
		"not a digest: 400": { ask: `GET /v2/${NGINX}/referrers/1.27`, status: 400, code: "DIGEST_INVALID" },
		"a repository that is not there": {
			ask: `GET /v2/no/such/referrers/${image.digest}`,
			status: 404,
			code: "NAME_UNKNOWN",
		},
	},
});

test("the links lead through every tag and every repository, once, in order", async () => {
	const view = await buildView(names, blobs);
	const { ask } = await serveView(() => view, blobs);
	for (const [start, key, all] of [
		[`${TAG_LIST}?n=2`, "tags", TAGS],
		["/v2/library/nginx/tags/list?ns=docker.io&n=3", "tags", TAGS],
		["/v2/_catalog?n=1", "repositories", REPOSITORIES],
	] as const) {
		const seen: string[] = [];
		for (let next: string | undefined = start; next !== undefined; ) {
			const answer: Answer = await ask(`GET ${next}`);
			seen.push(...JSON.parse(answer.body.toString())[key]);
			next = /^<([^>]+)>; rel="next"$/.exec(String(answer.headers.link))?.[1];
		}
		expect(seen).toEqual(all);
	}
});

test("referrers beyond the size of an index come in pages, none twice, the filter kept", async () => {
	const note = "x".repeat(60_000);
	const many = Array.from({ length: 150 }, (_, i) => artifact(`type/${i % 2}`, image, { note, i: String(i) }));
	const view = await buildView(
		many.map((d) => record(`docker.io/many@${d.digest}`, d)),
		blobs,
	);
	const { ask } = await serveView(() => view, blobs);
	const seen: string[] = [];
	let pages = 0;
	for (
		let next: string | undefined = `/v2/docker.io/many/referrers/${image.digest}?artifactType=type%2F1`;
		next;
		pages++
	) {
		const answer: Answer = await ask(`GET ${next}`);
		expect(answer.body.length).toBeLessThan(4 * 2 ** 20);
		seen.push(...JSON.parse(answer.body.toString()).manifests.map((d: { digest: string }) => d.digest));
		next = /^<([^>]+)>; rel="next"$/.exec(String(answer.headers.link))?.[1];
	}
	expect(pages).toBe(2);
	expect(seen.sort()).toEqual(
		many
			.filter((_, i) => i % 2 === 1)
			.map((d) => d.digest)
			.sort(),
	);
});
