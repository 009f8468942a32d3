import { z } from "zod";
import type { Firmware } from "../tools/qemu.ts";

const proof = z.object({ name: z.string(), ok: z.boolean(), detail: z.string() });

/** What the boot check reads of `/v1/status`; the rest is kept as it came. */
export const boxStatus = z.looseObject({
	stage: z.string(),
	version: z.string(),
	buildId: z.string(),
	rootId: z.string().nullable(),
	developmentKey: z.boolean(),
	conditions: z.array(
		z.looseObject({ name: z.string(), ok: z.boolean(), code: z.string().nullable(), cause: z.string() }),
	),
	boot: z.looseObject({ secureBoot: z.boolean().nullable(), root: z.string() }).optional(),
	/** Where the bytes of the served names come from. */
	servedFrom: z.enum(["store", "medium"]).nullable(),
	fips: z.looseObject({ required: z.boolean(), active: z.boolean(), proofs: z.array(proof) }),
	bundles: z.array(
		z.looseObject({ name: z.string(), indexDigest: z.string(), state: z.string(), names: z.array(z.string()) }),
	),
});
export type BoxStatus = z.infer<typeof boxStatus>;

/** `X.boot-report.json`. */
export interface BootReport {
	readonly format: 1;
	readonly iso: { readonly file: string; readonly sha256: string };
	readonly startedAt: string;
	readonly firmware: Firmware;
	readonly media: "cd" | "usb";
	readonly accelerator: "kvm" | "tcg";
	readonly acceleratorReason: string;
	readonly memoryMiB: number;
	/** From the start of QEMU to `/readyz`. */
	readonly secondsToReady: number;
	readonly checks: readonly Check[];
	readonly ok: boolean;
	/** Null when the appliance did not tell it. */
	readonly status: BoxStatus | null;
}

export interface Check {
	readonly name: string;
	readonly ok: boolean;
	readonly detail: string;
}
