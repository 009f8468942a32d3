import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { hostArch } from "../tools/host-arch.ts";
import type { Run, RunOptions } from "../tools/run.ts";
import { probeAccel } from "./accel.ts";

const arch = hostArch() as "amd64" | "arm64";
const PANIC = "[    1.2][    T1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)";

/** A kernel that says these lines; without the panic it runs until it is stopped. */
function kernel(...lines: string[]): Run {
	return (_file, _args, { onLine, signal }: RunOptions = {}) => {
		for (const line of lines) onLine?.(line);
		const result = { stdout: "", stderr: "", exitCode: 0 };
		if (lines.includes(PANIC)) return Promise.resolve(result);
		return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(new Error("stopped"))));
	};
}

async function probe(run: Run, signal = new AbortController().signal) {
	const device = join(await tempDir(), "kvm");
	await writeFile(device, "");
	return probeAccel(run, arch, "/vmlinuz", signal, device);
}

test("KVM is used where the appliance's kernel gets to the end of its start", async () => {
	expect(await probe(kernel("[    0.000000][    T0] Linux", PANIC))).toMatchObject({ accel: "kvm" });
	expect(await probeAccel(kernel(PANIC), arch, "/vmlinuz", new AbortController().signal, "/nowhere")).toEqual({
		accel: "tcg",
		why: "/nowhere is not there, or not for this user",
	});
});

test("one that says nothing is given up soon, one that has begun is not, and Ctrl-C is no finding", async () => {
	vi.useFakeTimers({ toFake: ["setTimeout"] });
	onTestFinished(() => void vi.useRealTimers());
	const silent = probe(kernel("KVM internal error. Suberror: 1"));
	await vi.waitFor(() => expect(vi.getTimerCount()).toBe(1));
	await vi.advanceTimersByTimeAsync(6_000);
	expect(await silent).toMatchObject({ accel: "tcg", why: "no guest runs under KVM here" });

	const stop = new AbortController();
	const begun = probe(kernel("[    0.000000] Linux"), stop.signal);
	const ended = begun.then(
		() => "ended",
		() => "stopped",
	);
	await vi.waitFor(() => expect(vi.getTimerCount()).toBe(1));
	await vi.advanceTimersByTimeAsync(11_000);
	expect(await Promise.race([ended, new Promise((done) => setImmediate(done, "runs"))])).toBe("runs");
	stop.abort();
	expect(await ended).toBe("stopped");
});
