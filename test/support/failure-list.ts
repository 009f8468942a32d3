import { appendFileSync } from "node:fs";
import { relative } from "node:path";
import { stripVTControlCharacters } from "node:util";
import type { Reporter, SerializedError, TestModule } from "vitest/node";

const MOST = 1000;

/**
 * Appends what failed to the file that `TEST_FAILURES` names: which test, where, and why. `make test` prints the file last, since
 * of a failure in one of its halves nothing is left to see when the other half has ended.
 */
export default class FailureList implements Reporter {
	onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
		tell("the run itself", unhandled);
		for (const module of modules) {
			const name = module.relativeModuleId;
			tell(name, module.errors());
			for (const suite of module.children.allSuites()) tell(`${name} > ${suite.fullName}`, suite.errors());
			for (const test of module.children.allTests("failed")) {
				tell(`${name} > ${test.fullName}`, test.result().errors ?? []);
			}
		}
	}
}

function tell(name: string, errors: readonly SerializedError[]): void {
	const { TEST_FAILURES: file } = process.env;
	if (!file || errors.length === 0) return; // make exports its variables, the empty ones too
	const texts = errors.map(({ message, diff, stacks }) => {
		const place = stacks?.[0] && `\tat ${relative(".", stacks[0].file)}:${stacks[0].line}`;
		// Of a program's failure the end tells most, of a difference the beginning.
		return [message.slice(-MOST), String(diff ?? "").slice(0, MOST), place].filter(Boolean).join("\n");
	});
	appendFileSync(file, stripVTControlCharacters(`FAILED ${name}\n${texts.join("\n")}\n`));
}
