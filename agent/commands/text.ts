/** Bytes for people. */
export function mib(bytes: number): string {
	return bytes < 2 ** 20 ? `${bytes} bytes` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

export function count(n: number, one: string): string {
	return `${n} ${one}${n === 1 ? "" : "s"}`;
}
