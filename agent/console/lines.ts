import { printable } from "../status/printable.ts";
import type { Status } from "../status/state.ts";

/**
 * What a console shows, a few plain lines. `slipway: key=value` lines are also for programs that read a serial port
 * (the boot command): `state`, and `tls-sha256` when there is TLS.
 */
export function consoleLines(status: Status): string[] {
	const faults = status.conditions.filter((c) => !c.ok);
	const lines = [
		`${status.product} ${status.version}${status.buildId === "" ? "" : ` (build ${status.buildId.slice(0, 12)})`}`,
		...faults.flatMap((c) => [`${c.code}: ${c.cause}`, `  Next: ${c.next}`]),
		...(status.addresses.length > 0 ? [`Addresses: ${status.addresses.join(" ")}`] : []),
		...(status.urls.status === null ? [] : [`Status:    ${status.urls.status}`]),
		...(status.urls.registry === null ? [] : [`Registry:  ${status.urls.registry}`]),
		...(status.store.kind === "ephemeral" ? ["No data disk: content is served from the medium."] : []),
		...(status.developmentKey ? ["Trusts a development key: not for production."] : []),
		...(status.fips.required ? [status.fips.statement] : []),
		...(status.boot.secureBoot === null ? [] : [started(status.boot.secureBoot, status.boot.root)]),
		...(status.mediumCheck === null ? [] : [medium(status.mediumCheck)]),
		...(status.tlsSha256 === null ? [] : [`slipway: tls-sha256=${status.tlsSha256}`]),
		`slipway: state=${status.stage}`,
	];
	return lines.map(printable);
}

function started(secureBoot: boolean, root: Status["boot"]["root"]): string {
	return `Started:   Secure Boot ${secureBoot ? "on" : "off"}, root image ${root}`;
}

function medium(check: NonNullable<Status["mediumCheck"]>): string {
	if (check.bad.length > 0)
		return `Medium check: DAMAGED, ${check.bad.length} of ${check.total} files: ${check.bad.slice(0, 5).join(", ")}`;
	const tenth = Math.floor((10 * check.bytesDone) / Math.max(check.bytesTotal, 1)) * 10;
	return check.done < check.total
		? `Medium check: ${tenth} % of ${Math.ceil(check.bytesTotal / 2 ** 20)} MiB, ${check.done} of ${check.total} files`
		: `Medium check: all ${check.total} files are good.`;
}
