import { createHash } from "node:crypto";
import type { Status } from "./state.ts";

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:1.5rem 0 .3rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0;border-bottom:1px solid #d8dee4}
.long{overflow-wrap:anywhere}
.stage{display:inline-block;margin:.8rem 0;padding:.3rem 1rem;border-radius:.3rem;font-weight:700;background:#fff3cd}
.ready{background:#d1f2dd}.failed{background:#ffdcd9}code{font:.9em ui-monospace,monospace}progress{width:100%}`;

/** Nothing from elsewhere, no script, no frame: only this style, named by its hash. */
export const PAGE_CSP = `default-src 'none'; style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** The one page for people. It refreshes itself, faster while something is going on. Every value is escaped. */
export function page(status: Status): string {
	const busy = status.stage !== "ready" && status.stage !== "failed";
	const faults = status.conditions.filter((c) => !c.ok);
	const { progress } = status;
	return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="${busy ? 2 : 15}"><title>${text(status.product)}: ${text(status.stage)}</title>
<style>${STYLE}</style></head><body>
<h1>${text(status.product)} ${text(status.version)}</h1>
<div class="stage ${text(status.stage)}">${text(status.stage)}</div> since ${text(status.since)}
${progress.bytesTotal > 0 && busy ? `<progress max="${progress.bytesTotal}" value="${progress.bytesDone}"></progress><p>${progress.blobsDone} of ${progress.blobsTotal} blobs, ${mib(progress.bytesDone)} of ${mib(progress.bytesTotal)} MiB</p>` : ""}
${
	faults.length > 0
		? `<h2>What is wrong, and what to do</h2>${table(
				faults.map((c) => [c.code ?? "", c.cause, c.next]),
				["Code", "Cause", "Next"],
			)}`
		: ""
}
<h2>Appliance</h2>
${table(facts(status))}
<h2>Bundles</h2>
${table(
	status.bundles.map((b) => [b.name, b.version, b.state, b.required ? "required" : "optional", b.indexDigest]),
	["Name", "Version", "State", "", "Index digest"],
)}
<h2>Names</h2>
${table(
	(status.servedFrom === null ? [] : status.bundles).flatMap((b) => b.names.map((name) => [name, b.name])),
	["Name", "Bundle"],
)}
<h2>Checks</h2>
${table(status.conditions.map((c) => [c.name, c.code ?? "ok", c.ok ? c.cause : ""]))}
</body></html>
`;
}

function facts(status: Status): string[][] {
	const rows: (string | null)[][] = [
		["Profile", status.profile],
		["Build", status.buildId],
		["Root image", status.rootId === null ? null : `${status.rootId}, ${status.boot.root}`],
		["Secure Boot", status.boot.secureBoot === null ? null : onOff(status.boot.secureBoot)],
		["Registry", status.urls.registry],
		["Addresses", status.addresses.join(", ")],
		["TLS certificate, SHA-256", status.tlsSha256],
		["Content release", status.release && `${status.release.version} (sequence ${status.release.sequence})`],
		["Trusts", status.developmentKey ? "a development key: not for production" : null],
		["Store", `${status.store.path}, ${status.store.kind === "ephemeral" ? "in memory" : "persistent"}`],
		["Served from", status.servedFrom],
		["FIPS", status.fips.statement],
		...status.fips.proofs.map((p) => [`FIPS proof: ${p.name}`, `${p.ok ? "ok" : "FAILED"}, ${p.detail}`]),
	];
	return rows.filter((row): row is string[] => row[1] !== null && row[1] !== "");
}

function table(rows: readonly (readonly string[])[], head: readonly string[] = []): string {
	// Digests break anywhere; words do not.
	const open = (tag: string, cell: string) => (cell.length > 40 ? `<${tag} class="long">` : `<${tag}>`);
	const cells = (row: readonly string[], tag: string) =>
		row.map((cell) => `${open(tag, cell)}${text(cell)}</${tag}>`).join("");
	const header = head.length > 0 ? `<tr>${cells(head, "th")}</tr>` : "";
	return `<table>${header}${rows.map((row) => `<tr>${cells(row, "td")}</tr>`).join("\n")}</table>`;
}

const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function text(value: string): string {
	return value.replace(/[&<>"']/g, (c) => ESCAPES[c] ?? c);
}

function onOff(is: boolean): string {
	return is ? "on" : "off";
}

function mib(bytes: number): string {
	return (bytes / 2 ** 20).toFixed(0);
}
