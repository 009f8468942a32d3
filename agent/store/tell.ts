import { SlipwayError } from "../../bundle/errors.ts";
import type { State } from "../status/state.ts";
import type { Fault } from "./fsck.ts";

/** Names of damaged things that stand in one sentence. */
const NAMED = 5;

/**
 * Tells what a check of the store found that is not told otherwise: a lost blob of the served release is among the status'
 * missing blobs until it is loaded again. Damaged documents of it are the condition `storeDocuments`; what is wrong with the
 * kept previous release is a warning, `storePrevious`.
 */
export function tellCheck(state: State, documents: readonly Fault[], blobs: readonly Fault[]): void {
	const current = documents.filter((fault) => fault.release === "current");
	const previous = [...documents, ...blobs].filter((fault) => fault.release === "previous");
	const damage = new SlipwayError("E_STORE", `Signed documents are damaged: ${list(current)}.`);
	state.condition("storeDocuments", ...(current.length > 0 ? [damage] : []));
	if (previous.length > 0)
		state.warn("storePrevious", "W_PREVIOUS", `The kept previous release is damaged: ${list(previous)}.`);
	else state.condition("storePrevious");
}

function list(faults: readonly Fault[]): string {
	const more = faults.length > NAMED ? ` and ${faults.length - NAMED} more` : "";
	const names = faults.slice(0, NAMED).map((fault) => fault.name);
	return `${names.join(", ")}${more}`;
}
