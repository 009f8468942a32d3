import type { Family } from "../family.ts";
import { jsonFamilies } from "./json.ts";
import { changeFamilies, mediumFamilies } from "./medium.ts";
import { nameFamilies } from "./names.ts";
import { ociFamilies } from "./oci.ts";
import { releaseFamilies, textFamilies } from "./release.ts";
import { rollbackFamilies } from "./rollback.ts";
import { signatureFamilies } from "./signatures.ts";
import { sizeFamilies } from "./sizes.ts";
import { tarFamilies } from "./tar.ts";

const all: readonly Family[] = [
	...tarFamilies,
	...sizeFamilies,
	...signatureFamilies,
	...jsonFamilies,
	...ociFamilies,
	...changeFamilies,
	...nameFamilies,
	...rollbackFamilies,
	...releaseFamilies,
	...textFamilies,
	...mediumFamilies,
];

/** Every row of the attack table that concerns loading, in its order (A27 is the builder's). */
export const FAMILIES: readonly Family[] = [...all].sort((a, b) => (a.row < b.row ? -1 : 1));
