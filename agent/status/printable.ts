/**
 * Terminals obey control characters, and readers of a log or a page are misled by what turns text around: only printable
 * ASCII is left of what a stranger may have chosen, the name of a file on the medium say.
 */
export function printable(text: string): string {
	return text.replace(/[^\x20-\x7e]/g, "?");
}
