import { expect, test } from "vitest";
import { insist } from "./pinned.ts";

test("what is not answered is asked for again, but not for ever; what is answered, or fails, is asked for once", async () => {
	const asked = async <T>(answers: (T | undefined)[]) => {
		let count = 0;
		const answer = await insist(async () => answers[count++]);
		return { answer, count };
	};
	expect(await asked([undefined, undefined, "yes"])).toEqual({ answer: "yes", count: 3 });
	expect(await asked(["yes"])).toEqual({ answer: "yes", count: 1 });
	expect(await asked([])).toEqual({ answer: undefined, count: 3 });
	let tries = 0;
	await expect(insist(() => Promise.reject(new Error(`try ${++tries}`)))).rejects.toThrow("try 1");
});
