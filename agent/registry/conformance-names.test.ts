import {
	absent,
	BLOB,
	bytes,
	DEEP,
	image,
	layer,
	NGINX,
	type Row,
	TAG_LIST,
	TAGS,
	testRows,
} from "../../test/support/conformance.ts";

testRows({
	"Names and digests (API, Error codes)": {
		"a name of any depth, with words of routes in it": {
			ask: `GET /v2/${DEEP}/manifests/1`,
			status: 200,
			body: bytes(image),
		},
		"its blobs": { ask: `GET /v2/${DEEP}/blobs/${layer.digest}`, status: 200, body: "0123456789" },
		"its tags": { ask: `GET /v2/${DEEP}/tags/list`, status: 200, json: { name: DEEP, tags: ["1"] } },
		...Object.fromEntries(
			["UPPER", "a//b", "a/-b", "a/b_", "a/..", "a/b%2Fc", "a/b%00", "a/b c".replace(" ", "%20"), "x".repeat(500)].map(
				(name) => [
					`${name.slice(0, 20)} is no name: 400`,
					{ ask: `GET /v2/${name}/manifests/1`, status: 400, code: "NAME_INVALID" },
				],
			),
		),
		...Object.fromEntries(
			["sha256:00", "sha256:zz", `sha256:${"A".repeat(64)}`, `md5:${"0".repeat(32)}`, "..%2f..%2fetc", "1.27"].map(
				(digest) => [
					`${digest.slice(0, 20)} is no digest: 400`,
					{ ask: `GET /v2/${NGINX}/blobs/${digest}`, status: 400, code: "DIGEST_INVALID" },
				],
			),
		),
		"a tag with a colon is a digest": { ask: `GET /v2/${NGINX}/manifests/a:b`, status: 400, code: "DIGEST_INVALID" },
		"an endpoint that does not exist: 404": { ask: "GET /v2/a/b/c", status: 404, code: "UNSUPPORTED" },
		"bad escapes in a name: 400": { ask: "GET /v2/%zz/manifests/1", status: 400, code: "NAME_INVALID" },
		"bad escapes elsewhere: 400": { ask: `GET /v2/${NGINX}/manifests/%zz`, status: 400, code: "UNSUPPORTED" },
		"a path too long: refused in the same form": {
			ask: `GET /v2/${NGINX}/manifests/${"x".repeat(2000)}`,
			status: 414,
			code: "UNSUPPORTED",
		},
	},
	"Mirrors (containerd's ns, which the spec calls Registry Proxying)": {
		"the host in ns, the rest as the name": {
			ask: "GET /v2/library/nginx/manifests/1.27?ns=docker.io",
			status: 200,
			body: bytes(image),
		},
		blobs: { ask: `GET /v2/library/nginx/blobs/${layer.digest}?ns=docker.io`, status: 200, body: "0123456789" },
		referrers: { ask: `GET /v2/library/nginx/referrers/${absent.digest}?ns=docker.io`, status: 200 },
		"tags, and the link keeps ns": {
			ask: "GET /v2/library/nginx/tags/list?ns=docker.io&n=1",
			status: 200,
			has: { link: `</v2/library/nginx/tags/list?ns=docker.io&n=1&last=${TAGS[0]}>; rel="next"` },
			json: { name: "library/nginx", tags: TAGS.slice(0, 1) },
		},
		"a host with a port": {
			ask: `GET /v2/${DEEP.slice(DEEP.indexOf("/") + 1)}/manifests/1?ns=registry.local:5000`,
			status: 200,
		},
		"another host has no such name": {
			ask: "GET /v2/library/nginx/manifests/1.27?ns=quay.io",
			status: 404,
			code: "NAME_UNKNOWN",
		},
		"a host that is not known never falls back to the bare name": {
			ask: `GET /v2/${NGINX}/manifests/1.27?ns=evil.example`,
			status: 404,
			code: "NAME_UNKNOWN",
		},
		"without ns the name is the whole name": {
			ask: "GET /v2/library/nginx/manifests/1.27",
			status: 404,
			code: "NAME_UNKNOWN",
		},
		...Object.fromEntries(
			["ns=", "ns=a%2Fb", "ns=docker.io&ns=quay.io", "ns=..", "ns=docker.io%2Flibrary"].map((ns) => [
				`${ns}: 400`,
				{ ask: `GET /v2/nginx/manifests/1.27?${ns}`, status: 400, code: "NAME_INVALID" },
			]),
		),
	},
	"Read-only (Push and content management are not offered)": writes(),
});

/** Every verb that could write, on every endpoint of the specification: 55 requests. */
function writes(): Record<string, Row> {
	const paths = [
		"/v2/",
		"/v2/_catalog",
		`/v2/${NGINX}/manifests/1.27`,
		`/v2/${NGINX}/manifests/${image.digest}`,
		`/v2/no/such/manifests/new`,
		BLOB,
		`/v2/${NGINX}/blobs/uploads/`,
		`/v2/${NGINX}/blobs/uploads/?mount=${layer.digest}&from=quay.io/a/docker`,
		`/v2/${NGINX}/blobs/uploads/1?digest=${layer.digest}`,
		TAG_LIST,
		`/v2/${NGINX}/referrers/${image.digest}`,
	];
	const row = (ask: string): Row => ({ ask, status: 405, code: "UNSUPPORTED", has: { allow: "GET, HEAD" } });
	const asks = ["PUT", "POST", "PATCH", "DELETE", "PROPFIND"].flatMap((verb) => paths.map((path) => `${verb} ${path}`));
	return Object.fromEntries(asks.map((ask) => [ask.replaceAll(/[0-9a-f]{20,}/g, "…"), row(ask)]));
}
