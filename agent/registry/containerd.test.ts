import { expect, test } from "vitest";
import { containerdFiles, originalHosts } from "./containerd.ts";

test("hosts are what names begin with, if it is a host", () => {
	const names = [
		"docker.io/library/nginx",
		"registry.local:5000/a",
		"docker.io/b",
		"localhost/c",
		"core/redis",
		"single",
	];
	expect(originalHosts([...names, "../x/y", "a..b/c", "UPPER.io/d"])).toEqual([
		"docker.io",
		"localhost",
		"registry.local:5000",
	]);
});

test("one folder a host, the registry as the only server, one certificate beside them", () => {
	expect(containerdFiles(["docker.io"], "http://127.0.0.1:5000", undefined)).toEqual([
		{
			path: "docker.io/hosts.toml",
			content: `# Images of docker.io come from this registry alone.
server = "http://127.0.0.1:5000"
capabilities = ["pull", "resolve"]

[host."http://127.0.0.1:5000"]
  capabilities = ["pull", "resolve"]
`,
		},
	]);
	const secure = containerdFiles(["docker.io", "quay.io"], "https://192.0.2.1:5000", "PEM\n");
	expect(secure.map((f) => f.path)).toEqual(["slipway.crt", "docker.io/hosts.toml", "quay.io/hosts.toml"]);
	expect(secure[0]!.content).toBe("PEM\n");
	expect(secure[1]!.content).toMatch(/^ca = "..\/slipway.crt"$[\s\S]*^ {2}ca = "..\/slipway.crt"$/m);
});
