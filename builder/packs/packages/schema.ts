import { z } from "zod";

/** Path inside an image. */
export const absolutePath = z
	.string()
	.regex(/^(\/[A-Za-z0-9_@%+=:,.~-]+)+$/, "an absolute path")
	.refine((path) => !path.split("/").some((part) => part === "." || part === ".."), "a path without . and ..");
const packageName = z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, "a package name");
const mode = z.string().regex(/^0[0-7]{3}$/, 'an octal mode in quotes, such as "0644"');
const word = z.string().regex(/^[\x20-\x7e\u00a0-\uffff]*$/, "text without control characters");

/** Schema of a pack with `source: packages`; `common` are the keys that every pack has. */
export function packagesPack<C extends z.ZodRawShape>(common: C) {
	return z.strictObject({
		...common,
		source: z.literal("packages"),
		title: word.max(100).optional().describe("One line for the image's labels"),
		packages: z.array(packageName).min(1).describe("Packages of the base whose files the image holds"),
		drop: z
			.array(packageName)
			.default([])
			.describe("Dependencies that the program does not need at run time. The build fails if a library goes missing"),
		keep: z.array(packageName).default([]).describe("Packages to hold although they are left out by default"),
		remove: z
			.array(z.string().regex(/^(\/[A-Za-z0-9_@%+=:,.~*-]+)+$/, "an absolute path; `*` stands for any name"))
			.default([])
			.describe("Files or folders of those packages to leave out. The build fails if a program needs one"),
		shell: z.boolean().default(false).describe("Put /bin/sh into the image"),
		user: z
			.strictObject({
				name: z.string().regex(/^[a-z_][a-z0-9_-]{0,30}$/, "a user name"),
				uid: z
					.int()
					.min(1)
					.max(2 ** 31 - 1),
				gid: z
					.int()
					.min(1)
					.max(2 ** 31 - 1),
			})
			.prefault({ name: "nonroot", uid: 65532, gid: 65532 })
			.describe("User that the container runs as; never root"),
		entrypoint: z.array(word).min(1).describe("Program and arguments"),
		cmd: z.array(word).default([]).describe("Default arguments"),
		env: z
			.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), word)
			.default({})
			.describe("Environment"),
		ports: z
			.array(z.string().regex(/^[1-9][0-9]{0,4}\/(tcp|udp|sctp)$/, "port/protocol"))
			.default([])
			.describe("Exposed ports"),
		volumes: z.array(absolutePath).default([]).describe("Folders that outlive the container"),
		workdir: z
			.union([absolutePath, z.literal("/")])
			.default("/")
			.describe("Folder it starts in"),
		stopSignal: z
			.string()
			.regex(/^SIG[A-Z0-9]+$/)
			.optional()
			.describe("Signal that stops it"),
		files: z
			.record(
				absolutePath,
				z.union([
					z.strictObject({ from: z.string().min(1), mode: mode.default("0644") }),
					z.strictObject({ text: z.string(), mode: mode.default("0644") }),
				]),
			)
			.default({})
			.describe("Files to add or replace, owned by root: `from` a file beside this one, or `text`"),
		directories: z.record(absolutePath, mode).default({}).describe("Folders to add, owned by the user"),
		links: z.record(absolutePath, z.string().min(1)).default({}).describe("Symbolic links to add"),
		labels: z
			.record(z.string().regex(/^[a-z0-9][a-z0-9./-]*$/), word)
			.default({})
			.describe("Labels besides the standard ones"),
	});
}
