import { expect, test } from "vitest";
import { State, type Status } from "../status/state.ts";
import { HostWatch } from "./watch.ts";

test("new addresses are applied until that works; a failure is a condition and never a stage", async () => {
	const state = new State({ stage: "verifying", conditions: [], lastError: null } as unknown as Status);
	const asked: string[] = [];
	let broken = true;
	const watch = new HostWatch(["a"], state, async (hosts) => {
		asked.push(hosts.join());
		if (broken) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
	});
	const seen = async (...hosts: string[]) => {
		await watch.look(hosts);
		return [state.status.stage, state.status.conditions.map((c) => c.code)];
	};
	expect(await seen("a")).toEqual(["verifying", []]);
	expect(await seen("a", "b")).toEqual(["verifying", ["E_NO_SPACE"]]);
	expect(await seen("a", "b")).toEqual(["verifying", ["E_NO_SPACE"]]);
	broken = false;
	expect(await seen("a")).toEqual(["verifying", [null]]);
	expect(await seen("a")).toEqual(["verifying", [null]]);
	expect(asked).toEqual(["a,b", "a,b", "a"]);
});
