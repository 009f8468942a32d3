import { hostname, networkInterfaces } from "node:os";

/** This machine's addresses that others can reach, without link-local ones. */
export function addresses(): string[] {
	return Object.values(networkInterfaces())
		.flatMap((list) => list ?? [])
		.filter((address) => !address.internal && !/^(fe80|169\.254\.)/i.test(address.address))
		.map((address) => address.address)
		.sort();
}

/** Every name and address that this machine answers to. `names` are the configured ones. */
export function ownHosts(names: readonly string[]): string[] {
	const host = hostname().toLowerCase();
	const valid = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(host) ? [host] : [];
	return [...new Set(["localhost", "127.0.0.1", "::1", ...valid, ...addresses(), ...names])];
}

/** The host of a Host header without its port and brackets; undefined when it is not one. */
export function hostOf(header: string | undefined): string | undefined {
	if (header === undefined || !/^[A-Za-z0-9.:[\]-]+$/.test(header)) return undefined;
	const url = URL.parse(`http://${header}`);
	return url?.hostname.replace(/^\[|\]$/g, "").toLowerCase();
}
