import { appendFileSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";
import type { Reporter, TestModule } from "vitest/node";

const MOST = 1500;

/**
 * Appends what failed to the file that `TEST_FAILURES` names: which test, and the end of each error. `make test` prints the file
 * last, since of a failure in one of its halves nothing is left to see when the other half has ended.
 */
export default class FailureList implements Reporter {
	onTestRunEnd(modules: readonly TestModule[]): void {
		const { TEST_FAILURES: file } = process.env;
		if (file === undefined) return;
		for (const module of modules) {
			const tell = (name: string, errors: readonly { message: string; diff?: string }[]) => {
				const texts = errors.map(({ message, diff = "" }) => clean(`${message}\n${diff}`));
				if (texts.length > 0)
					appendFileSync(file, `FAILED ${module.relativeModuleId} > ${name}\n${texts.join("\n")}\n`);
			};
			tell("(file)", module.errors());
			for (const suite of module.children.allSuites()) tell(suite.fullName, suite.errors());
			for (const test of module.children.allTests("failed")) tell(test.fullName, test.result().errors ?? []);
		}
	}
}

function clean(text: string): string {
	return stripVTControlCharacters(text).trim().slice(-MOST);
}
