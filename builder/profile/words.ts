import { z } from "zod";

/** Forms of single values that profiles, bases and hardware sets share. */

export const API_VERSION = "slipway/v1";
export const arch = z.enum(["amd64", "arm64"]);
export const name = z.string().regex(/^[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?$/, "lower-case letters, digits, - and .");
export const packageName = z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, "a package name");
const ADDRESS = String.raw`(?:https?|file|copy):(?!\/\/[^\s/]*@)[\x21-\x7e]+`;
/** Without a user name or password: an archive's address stands in logs and records. */
export const mirrorAddress = z
	.string()
	.regex(new RegExp(`^${ADDRESS}(?: ${ADDRESS})?$`), "one or two mirrors' addresses, without a user name or password");
/** A token goes there: in clear text to this machine alone. */
export const contracts = z
	.string()
	.regex(
		/^(?:https:\/\/|http:\/\/127\.\d+\.\d+\.\d+(?=[:/]|$))(?![^/]*@)[\x21-\x7e]+$/,
		"an address that begins with https://, without a user name or password",
	);
/** Printable ASCII: values end in boot files and on consoles, so no control character may pass. */
export const text = z.string().regex(/^[\x20-\x7e]*$/, "printable ASCII only");
/** `.meta({ merge })` says how a list joins that of the profile it extends: "append" (without repeats) or "replace". */
export const list = <T extends z.ZodType>(item: T, merge: "append" | "replace") => z.array(item).meta({ merge });
