import { expect, test } from "vitest";
import { type Evidence, sameEvidence } from "./evidence.ts";

test("another size, inode or time of change is another file", () => {
	const seen: Evidence = [1, "2", "3"];
	expect(sameEvidence(seen, [1, "2", "3"])).toBe(true);
	for (const other of [
		[9, "2", "3"],
		[1, "9", "3"],
		[1, "2", "9"],
	] as const) {
		expect(sameEvidence(seen, [...other])).toBe(false);
	}
});
