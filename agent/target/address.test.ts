import { expect, test } from "vitest";
import { parseTarget, targetNames } from "./address.ts";

test("an address is scheme, host, port and path", () => {
	expect(parseTarget("https://registry.site:5000/mirror/slipway/")).toEqual({
		origin: "https://registry.site:5000",
		host: "registry.site:5000",
		prefix: "mirror/slipway",
	});
	expect(parseTarget("http://10.0.0.7")).toEqual({ origin: "http://10.0.0.7", host: "10.0.0.7", prefix: "" });
});

test.each([
	"https://user:secret@registry.site/mirror",
	"https://registry.site/Mirror",
	"https://registry.site/a//b",
	"https://registry.site/a?x=secret",
	"https://registry.site/#secret",
	"ftp://registry.site",
	"registry.site:5000",
	"",
])("%s is none, and nothing of it is repeated", (text) => {
	const thrown = () => parseTarget(text);
	expect(thrown).toThrow(expect.objectContaining({ code: "E_CONFIG" }));
	expect(thrown).not.toThrow(/secret/);
});

test("names keep their original host below the path; a port's colon becomes two underscores", () => {
	const names = ["docker.io/library/nginx", "10.0.0.1:5000/team/app", "my_host/x"];
	expect([...targetNames(parseTarget("https://r/a/b"), names).values()]).toEqual([
		"a/b/docker.io/library/nginx",
		"a/b/10.0.0.1__5000/team/app",
		"a/b/my_host/x",
	]);
	expect(targetNames(parseTarget("https://r"), names).get("my_host/x")).toBe("my_host/x");
});

test("two names never become one, and none becomes what no registry takes", () => {
	const address = parseTarget("https://r/a");
	const code = expect.objectContaining({ code: "E_TARGET_NAME" });
	expect(() => targetNames(address, ["h:1/x", "h__1/x"])).toThrow(code);
	expect(() => targetNames(address, [`h/${"x".repeat(255)}`])).toThrow(code);
	expect(() => targetNames(address, ["h/UPPER"])).toThrow(code);
});
