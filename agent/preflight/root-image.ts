import { join } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { readSmall } from "../../bundle/read.ts";
import type { KernelLine } from "../load/kernel.ts";
import type { BootStatus } from "../status/state.ts";

const MAX_SIZE = 64 * 1024;
const DEVICE = "/dev/mapper/slipway-root";
const UPPER = "tmpfs /run/overlayfs";

/**
 * How the box was started, out of what root noted at boot (`<boot>/start`), and whether that is as the kernel line asks: the
 * mapping of the root image has the kernel line's root hash, has seen no damage and would panic at any, and the root file system
 * lies on it, with nothing but memory above. Everything that is not so is an E_ROOT_IMAGE, except on a host that is no appliance.
 */
export async function rootImage(
	boot: string,
	kernel: KernelLine,
): Promise<{ status: BootStatus; faults: SlipwayError[] }> {
	// What cannot be read says nothing, and nothing is what a kernel line with a root hash is not content with.
	const facts = await readFacts(join(boot, "start")).catch(() => undefined);
	const secureBoot = facts === undefined ? null : facts.secureboot?.trim() === "1";
	const isHost = kernel.rootId === null && kernel.verity === undefined && facts === undefined;
	if (isHost) return { status: { secureBoot, root: "unchecked" }, faults: [] };
	const faults = faultsOf(facts ?? {}, kernel.verity).map((message) => new SlipwayError("E_ROOT_IMAGE", message));
	// Of a unified kernel image the firmware has checked the kernel line too. Behind a distribution's shim nobody signed it, so the
	// root hash on it stops damage and not an attacker.
	const checked =
		secureBoot === true && /^systemd-stub /.test(facts?.stub ?? "") ? "authenticated" : "integrity-checked";
	return { status: { secureBoot, root: faults.length === 0 ? checked : "unchecked" }, faults };
}

function faultsOf(facts: Readonly<Record<string, string>>, verity: string | undefined): string[] {
	if (verity === undefined)
		return ["The root image is not checked: the kernel line has no root hash (slipway.verity=)."];
	const [blocks, hash, salt] = verity.split(":");
	const tree = ` 4096 4096 ${blocks} ${Number(blocks) + 1} sha256 ${hash} ${salt} `;
	const { table = "", status = "", base = "", root = "", upper = "" } = facts;
	if (table === "") return ["The root image is not checked: its dm-verity mapping is not there."];
	return [
		!table.includes(tree) && "The root image is checked against another root hash than the kernel line's.",
		!/ panic_on_corruption\b/.test(table) && "The root image is checked, but damage would not stop the machine.",
		/ verity C/.test(status)
			? "The root image is damaged: dm-verity has found wrong bytes in it."
			: !/ verity V/.test(status) && `The state of the root image's mapping is unknown: ${status || "none"}.`,
		(base !== DEVICE || !/(^|,)lowerdir=\/run\/rootfsbase(,|$)/.test(root)) &&
			`The root file system does not lie on the checked mapping, but on ${base || "nothing that is known"}.`,
		// A folder of some disk, that is: what lies there hides files of the image, at every start.
		(upper !== UPPER || !/(^|,)upperdir=\/run\/overlayfs(,|$)/.test(root)) &&
			`What is written over the root image is not in memory, but in ${upper || "an unknown place"}.`,
	].filter((fault) => fault !== false);
}

/** Lines of a name, a space and a value. Undefined when nobody noted anything, as on a host that is no appliance. */
async function readFacts(path: string): Promise<Record<string, string> | undefined> {
	const text = (await readSmall(path, MAX_SIZE))?.toString();
	if (text === undefined) return undefined;
	return Object.fromEntries(text.split("\n").map((line) => [line.split(" ", 1)[0]!, line.replace(/^\S* ?/, "")]));
}
