import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { applianceKernel, GOOD_START, noteStart } from "../../test/support/appliance-boot.ts";
import { tempDir } from "../../test/support/temp.ts";
import { readKernelLine } from "../load/kernel.ts";
import { rootImage } from "./root-image.ts";

const ID = "e".repeat(64);
const { verity: VERITY } = applianceKernel(ID);
const { table: TABLE, root: ROOT } = GOOD_START;
const HASH = "a".repeat(64);

async function look(
	facts: Partial<typeof GOOD_START> | undefined,
	line = `slipway.root=${ID} slipway.verity=${VERITY}`,
) {
	const boot = await tempDir();
	await writeFile(join(boot, "cmdline"), `quiet ${line}\n`);
	if (facts !== undefined) await noteStart(boot, { ...GOOD_START, ...facts });
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

test("only a host that is no appliance is content without a check", async () => {
	expect(await look(undefined, "")).toEqual({ secureBoot: null, root: "unchecked", faults: "" });
	for (const [facts, line] of [
		[{}, `slipway.root=${ID}`],
		[undefined, `slipway.root=${ID}`],
		[{}, ""],
	] as const) {
		expect(await look(facts, line)).toMatchObject({
			root: "unchecked",
			faults: expect.stringContaining("no root hash"),
		});
	}
	const twice = `slipway.verity=${VERITY} slipway.verity=12:${"c".repeat(64)}:${"b".repeat(64)}`;
	expect(await look({}, twice)).toMatchObject({ faults: expect.stringContaining("another root hash") });
});

test.each([
	["nobody noted anything", undefined, /mapping is not there/],
	["no mapping", { table: "", status: "" }, /mapping is not there/],
	["damage was found", { status: "0 315904 verity C" }, /is damaged/],
	["the mapping does not answer", { status: "" }, /state .* is unknown: none/],
	["another root hash", { table: TABLE.replace(HASH, "c".repeat(64)) }, /another root hash/],
	["fewer blocks", { table: TABLE.replace(" 12 13", " 11 13") }, /another root hash/],
	["damage would not stop it", { table: TABLE.replace(" 1 panic_on_corruption", "") }, /would not stop/],
	["the file itself was mounted", { base: "/dev/loop0" }, /not lie on the checked mapping, but on \/dev\/loop0/],
	["a layer above it", { root: ROOT.replace("=/run/rootfsbase", "=/run/x:/run/rootfsbase") }, /does not lie on/],
	["an overlay that lasts", { upper: "ext2/ext3 /run/initramfs/overlayfs/x" }, /not in memory, but in ext2/],
	["another folder above it", { root: ROOT.replace("upperdir=/run/overlayfs", "upperdir=/mnt/x") }, /not in memory/],
	["nobody noted what lies above it", { upper: "" }, /not in memory, but in an unknown place/],
])("%s: a coded fault, and nothing is called checked", async (_name, facts, cause) => {
	const { root, faults } = await look(facts);
	expect(faults).toMatch(cause);
	expect(root).toBe("unchecked");
});
