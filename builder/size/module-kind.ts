/** What a kernel module is for, by its folder: `net (drivers)`, `fs`; undefined: the path is no module's. */
export function moduleKind(path: string): string | undefined {
	const [, folder, driver] = /^(?:usr\/)?lib\/modules\/[^/]+\/kernel\/([^/]+)\/([^/]+)\//.exec(`${path}/`) ?? [];
	return folder === "drivers" ? `${driver} (drivers)` : folder;
}
