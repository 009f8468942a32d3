import { expect, test } from "vitest";
import { formatTime } from "./monitor.ts";
import { PlainMonitor } from "./plain.ts";
import { TerminalMonitor } from "./terminal.ts";

const stage = { name: "root", summary: "Pack the root image", number: 5, total: 9 };

test("without a terminal: a line at the start, one at the end, one for what is cached, and no control characters", () => {
	let text = "";
	const monitor = new PlainMonitor({ write: (part) => (text += part) });
	monitor.begin(stage);
	monitor.end("cached", 0);
	monitor.begin({ ...stage, name: "content", number: 6 });
	monitor.progress(1, 10);
	monitor.progress(2, 10);
	monitor.note("waits for another build of this stage");
	monitor.end("built", 72);
	expect(text).toBe(
		[
			" 5/9 root      cached",
			" 6/9 content   Pack the root image",
			" 6/9 content   waits for another build of this stage",
			" 6/9 content   built in 1:12",
			"",
		].join("\n"),
	);
});

test("on a terminal: one line redrawn in place with bar and time, never wider than the terminal", () => {
	const parts: string[] = [];
	const out = { columns: 60, write: (part: string) => parts.push(part) } as unknown as NodeJS.WriteStream;
	const monitor = new TerminalMonitor(out);
	monitor.begin(stage);
	monitor.progress(1, 2);
	monitor.note("a note that is rather long, longer than what is left of the line");
	monitor.end("failed", 3);
	for (const part of parts) {
		expect(part.startsWith("\r\x1b[K")).toBe(true);
		expect(part.replace("\r\x1b[K", "").trimEnd().length).toBeLessThan(60);
	}
	expect(parts.at(-2)).toMatch(/█{12}░{12} {2}50 %/);
	expect(parts.filter((part) => part.endsWith("\n"))).toEqual(["\r\x1b[K 5/9 root      failed after 3.0 s\n"]);
});

test("times are short and readable", () => {
	expect([0.04, 59.94, 61, 3723].map(formatTime)).toEqual(["0.0 s", "59.9 s", "1:01", "1:02:03"]);
});
