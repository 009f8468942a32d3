import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { readKernelLine } from "../load/kernel.ts";
import { rootImage } from "./root-image.ts";

const [ID, HASH, SALT] = ["e".repeat(64), "a".repeat(64), "b".repeat(64)];
const TABLE = `0 315904 verity 1 7:0 7:0 4096 4096 39488 39489 sha256 ${HASH} ${SALT} 1 panic_on_corruption`;
const GOOD = {
	table: TABLE,
	status: "0 315904 verity V",
	base: "/dev/mapper/slipway-root",
	root: "rw,relatime,lowerdir=/run/rootfsbase,upperdir=/run/overlayfs,workdir=/run/ovlwork",
	secureboot: "   1",
	stub: "",
};

async function look(facts: Partial<typeof GOOD> | undefined, line = `slipway.verity=39488:${HASH}:${SALT}`) {
	const boot = await tempDir();
	await writeFile(join(boot, "cmdline"), `quiet slipway.root=${ID} ${line}\n`);
	const lines = Object.entries({ ...GOOD, ...facts }).map(([name, value]) => `${name} ${value}\n`);
	if (facts !== undefined) await writeFile(join(boot, "start"), lines.join(""));
	const { status, faults } = await rootImage(boot, await readKernelLine(join(boot, "cmdline")));
	expect(faults.every(({ code }) => code === "E_ROOT_IMAGE")).toBe(true);
	return { ...status, faults: faults.map(({ message }) => message).join("\n") };
}

test("a root on the kernel line's mapping is integrity-checked, and Secure Boot is what the firmware says", async () => {
	expect(await look({})).toEqual({ secureBoot: true, root: "integrity-checked", faults: "" });
	expect(await look({ secureboot: "   0" })).toMatchObject({ secureBoot: false, faults: "" });
	expect(await look({ secureboot: "" })).toMatchObject({ secureBoot: false });
});

test("a unified kernel image that the firmware checked makes it authenticated, and nothing less does", async () => {
	const stub = "systemd-stub 257.8-1~deb13u2";
	expect(await look({ stub })).toEqual({ secureBoot: true, root: "authenticated", faults: "" });
	expect(await look({ stub, secureboot: "   0" })).toMatchObject({ root: "integrity-checked" });
	expect(await look({ stub, secureboot: "" })).toMatchObject({ root: "integrity-checked" });
	expect(await look({ stub, base: "/dev/loop0" })).toMatchObject({ root: "unchecked" });
	expect(await look({ stub }, "")).toMatchObject({ root: "unchecked" });
});

test("without a root hash on the kernel line the root is unchecked, on whatever it lies", async () => {
	expect(await look({}, "")).toEqual({ secureBoot: true, root: "unchecked", faults: "" });
	expect(await look(undefined, "")).toEqual({ secureBoot: null, root: "unchecked", faults: "" });
});

test.each([
	["nobody noted anything", undefined, /mapping is not there/],
	["no mapping", { table: "", status: "" }, /mapping is not there/],
	["damage was found", { status: "0 315904 verity C" }, /is damaged/],
	["the mapping does not answer", { status: "" }, /state .* is unknown: none/],
	["another root hash", { table: TABLE.replace(HASH, "c".repeat(64)) }, /another root hash/],
	["fewer blocks", { table: TABLE.replace(" 39488 39489", " 39487 39489") }, /another root hash/],
	["damage would not stop it", { table: TABLE.replace(" 1 panic_on_corruption", "") }, /would not stop/],
	["the file itself was mounted", { base: "/dev/loop0" }, /not lie on the checked mapping, but on \/dev\/loop0/],
	["a layer above it", { root: GOOD.root.replace("=/run/rootfsbase", "=/run/x:/run/rootfsbase") }, /does not lie on/],
])("%s: a coded fault, and nothing is called checked", async (_name, facts, cause) => {
	const { root, faults } = await look(facts);
	expect(faults).toMatch(cause);
	expect(root).toBe("unchecked");
});
