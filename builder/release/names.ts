import type { Build } from "../plan/build.ts";

/** File names of a release set: folder in `dist/` and `X` of `X.iso`, the same word. */
export function releaseName(build: Pick<Build, "profile" | "version" | "base">): string {
	return `${build.profile.name}-${build.version}-${build.base.name}`;
}
