/** A cpio archive in the "new" form (cpio(5)): 13 fields of eight digits, names and data each padded to four bytes; its end included. */
export function cpio(files: Readonly<Record<string, Buffer>>): Buffer {
	const pad = (data: Buffer) => Buffer.concat([data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
	const entry = (name: string, data: Buffer) => {
		const fields = [1, 0o100644, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
		const head = `070701${fields.map((n) => n.toString(16).toUpperCase().padStart(8, "0")).join("")}${name}\0`;
		return Buffer.concat([pad(Buffer.from(head)), pad(data)]);
	};
	return Buffer.concat(
		Object.entries({ ...files, "TRAILER!!!": Buffer.alloc(0) }).map(([name, data]) => entry(name, data)),
	);
}
