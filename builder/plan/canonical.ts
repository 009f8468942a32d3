import { createHash } from "node:crypto";
import { SlipwayError } from "../../bundle/errors.ts";

/**
 * JSON with sorted keys and no blanks: equal values give equal text. Absent and undefined members are the same.
 * Errors: E_INTERNAL for what JSON cannot hold, since an id must not depend on what is lost on the way.
 */
export function canonicalJson(value: unknown): string {
	if (value === null || typeof value === "string" || typeof value === "boolean") return JSON.stringify(value);
	if (typeof value === "number" && Number.isFinite(value)) return JSON.stringify(value);
	if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
	if (typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
		const members = Object.entries(value).filter(([, v]) => v !== undefined);
		// Code unit order, the same in every locale.
		members.sort(([a], [b]) => (a < b ? -1 : 1));
		return `{${members.map(([k, v]) => `${JSON.stringify(k)}:${canonicalJson(v)}`).join(",")}}`;
	}
	throw new SlipwayError("E_INTERNAL", `A stage's options hold a ${typeof value} that JSON cannot hold.`);
}

export function sha256Of(text: string): string {
	return createHash("sha256").update(text).digest("hex");
}
