import { readStatementFolder } from "../../bundle/statement-folder.ts";
import type { Statement } from "../../bundle/statement-schema.ts";
import { applyAll } from "../../bundle/statements.ts";
import { loadTrust } from "../../bundle/trust.ts";
import type { CommandContext } from "./command.ts";

/** Verifies a chain as a box would, and shows it with the trust after it. Errors: those of loadTrust and applyAll. */
export async function statementList(
	{ print }: CommandContext,
	options: { trust: string },
	[folder]: string[],
): Promise<void> {
	const trust = applyAll(await loadTrust(options.trust), await readStatementFolder(folder as string));
	const roles = { release: trust.release, root: trust.root };
	const told = Object.entries(roles).map(([name, role]) => ({
		name,
		threshold: role?.threshold ?? 0,
		keys: [...(role?.keys.keys() ?? [])].map((id) => ({ id, denied: trust.release.denyKeys.has(id) })),
	}));
	print(
		() =>
			[
				...trust.statements.map(({ statement, digest }) => `${statement.number}  ${digest}  ${describe(statement)}`),
				...told.flatMap(({ name, threshold, keys }) => [
					`${name}: ${threshold} of ${keys.length}`,
					...keys.map(({ id, denied }) => `  ${id}${denied ? " DENIED" : ""}`),
				]),
				"",
			].join("\n"),
		() => ({
			statements: trust.statements.map(({ statement, digest }) => ({ digest, ...statement })),
			roles: told,
			denied: { keys: [...trust.release.denyKeys], documents: [...trust.release.denyIndexes] },
		}),
	);
}

function describe(statement: Statement): string {
	const reason = statement.reason === "" ? "" : `: ${statement.reason}`;
	switch (statement.kind) {
		case "rotate":
			return `rotate ${[statement.release && "release", statement.root && "root"].filter(Boolean).join(" and ")}${reason}`;
		case "deny": {
			const { keys, indexes, releases } = statement;
			return `deny ${keys.length} keys, ${indexes.length} bundles, ${releases.length} releases${reason}`;
		}
		case "floor-reset": {
			const { products, bundles } = statement;
			const floors = [
				...products.map((p) => `${p.product}=${p.sequence}`),
				...bundles.map((b) => `${b.name}/${b.arch}/${b.fips}=${b.sequence}`),
			];
			return `floor-reset ${floors.join(", ")}${reason}`;
		}
		case "rollback":
			return `rollback from ${statement.from} to ${statement.to} (${statement.version})${reason}`;
	}
}
