export type Arch = "amd64" | "arm64";

/** Architecture of the machine that this runs on, in the distributions' words. */
export function hostArch(): Arch {
	return process.arch === "arm64" ? "arm64" : "amd64";
}
