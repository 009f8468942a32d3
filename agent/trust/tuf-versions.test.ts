import { copyFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { signEnvelope } from "../../bundle/dsse.ts";
import { furtherName } from "../../bundle/further-signatures.ts";
import { PAYLOAD_TYPE } from "../../bundle/index-schema.ts";
import { openBundle } from "../../bundle/reader.ts";
import { keysOf } from "../../test/support/statements.ts";
import { attacks, inserted, REF, second, smuggle, stranger, vendor } from "../../test/support/trust-site.ts";

/** TUF's ten attacks by name: what belongs together, who signed it, and when. */

attacks("malicious mirrors", [
	[
		"keep back a required bundle",
		["E_RELEASE_SET"],
		async (s) => {
			const medium = await s.insert([
				{ refs: [REF], input: { name: "core" } },
				{ refs: ["slipway.local/b/b:1"], input: { name: "b" } },
			]);
			await rm(medium.bundles[1]!.path);
		},
	],
	["keep back the release", ["E_MEDIA"], inserted((s) => rm(s.releaseFile))],
	[
		"keep back a statement in the middle of the chain",
		["E_STATEMENT"],
		async (s) => {
			await s.insert();
			for (const c of ["a", "b", "c"]) await s.chain.add("deny", { keys: [c.repeat(64)] });
			await s.chain.write(s.medium.content, [s.chain.list[0]!, s.chain.list[2]!]);
		},
	],
	[
		"offer a statement of another vendor",
		["E_STATEMENT"],
		async (s) => {
			await s.insert();
			await s.chain.add("deny", { keys: [vendor.keyId] }, [stranger]);
			await s.say();
		},
	],
]);

attacks("mix-and-match", [
	[
		"the bundle of another release",
		["E_RELEASE_SET", "E_RELEASE_SET"],
		async (s) => {
			await s.insert();
			await smuggle(s);
			const { path } = s.medium.bundles[0]!;
			await rm(path);
		},
	],
	[
		"the release of other bundles",
		["E_RELEASE_SET", "E_RELEASE_SET"],
		async (s) => {
			const first = await s.insert();
			await s.insert();
			await copyFile(join(first.content, "release.dsse.json"), s.releaseFile);
		},
	],
	[
		"two bundles that give one name different digests",
		["E_NAME_CONFLICT"],
		(s) =>
			s.insert([
				{ refs: [REF], input: { name: "core" } },
				{ refs: [REF], input: { name: "other" } },
			]),
	],
]);

attacks("rollback", [
	[
		"an older release with its own bundles",
		["E_ROLLBACK", "E_ROLLBACK"],
		async (s) => {
			const old = await s.insert();
			await s.insert();
			expect(await s.load()).toEqual([]);
			s.medium = old;
		},
	],
	[
		"a newer release with an older bundle",
		["E_ROLLBACK"],
		async (s) => {
			await s.insert();
			expect(await s.load()).toEqual([]);
			await s.insert([{ refs: [REF], input: { name: "core", sequence: 1 } }]);
		},
	],
	[
		"another release with the same sequence",
		["E_SEQUENCE_REUSED"],
		async (s) => {
			const medium = await s.insert();
			expect(await s.load()).toEqual([]);
			await medium.writeRelease({ version: "1.0.1" });
		},
	],
	[
		"a newer release with another bundle of the same sequence",
		["E_SEQUENCE_REUSED"],
		async (s) => {
			const { sequence } = (await s.insert()).release;
			expect(await s.load()).toEqual([]);
			await s.insert([{ refs: [REF], input: { name: "core", sequence } }]);
		},
	],
	[
		"a planned rollback",
		[],
		async (s) => {
			const old = await s.insert();
			expect(await s.load()).toEqual([]);
			const to = s.committed!;
			await s.insert();
			expect(await s.load()).toEqual([]);
			s.medium = old;
			await s.chain.add("rollback", { from: s.committed!, to, version: "1.0.0" });
			await s.say();
		},
	],
	[
		"a rollback that was planned by the release key",
		["E_STATEMENT"],
		async (s) => {
			const old = await s.insert();
			await s.insert();
			expect(await s.load()).toEqual([]);
			s.medium = old;
			await s.chain.add("rollback", { from: s.committed!, to: "a".repeat(64), version: "1" }, [vendor]);
			await s.say();
		},
	],
]);

attacks("key compromise", [
	[
		"a key that was denied",
		["E_KEY_REVOKED"],
		async (s) => {
			await s.insert();
			await s.chain.add("deny", { keys: [vendor.keyId] });
			await s.say();
		},
	],
	[
		"a bundle that was denied",
		["E_DENIED"],
		async (s) => {
			await s.chain.add("deny", { indexes: [(await s.insert()).bundles[0]!.indexDigest] });
			await s.say();
		},
	],
	[
		"a release that was denied, from a medium that no longer says so",
		["E_DENIED"],
		async (s) => {
			await s.insert();
			expect(await s.load()).toEqual([]);
			await s.chain.add("deny", { releases: [s.committed!] });
			await s.say();
			expect(await s.load()).toEqual(["E_DENIED"]);
			await rm(join(s.medium.content, "statements"), { recursive: true });
		},
	],
	[
		"the old key after a rotation",
		["E_KEY_UNKNOWN"],
		async (s) => {
			await s.insert();
			await s.chain.add("rotate", { release: keysOf(1, second) });
			await s.say();
		},
	],
	[
		"the new key after a rotation",
		[],
		async (s) => {
			await s.insert(undefined, second);
			await s.chain.add("rotate", { release: keysOf(1, second) });
			await s.say();
		},
	],
	["one stolen key of two", ["E_THRESHOLD"], inserted((s) => s.trust(2, vendor, second))],
	[
		"one stolen key of two, twice",
		["E_THRESHOLD"],
		inserted(async (s) => {
			await s.signRelease({}, vendor, vendor);
			await s.trust(2, vendor, second);
		}),
	],
	[
		"two keys under the release, and one under its bundle",
		["E_THRESHOLD"],
		inserted(async (s) => {
			await s.signRelease({}, vendor, second);
			await s.trust(2, vendor, second);
		}),
	],
	[
		"two keys under everything",
		[],
		async (s) => {
			const { path } = (await s.insert()).bundles[0]!;
			await s.signRelease({}, vendor, second);
			const bundle = await openBundle(path);
			await bundle.close();
			const { payloadType, signatures } = await signEnvelope(PAYLOAD_TYPE.bundleIndex, bundle.payload, second);
			await writeFile(furtherName(path), JSON.stringify({ payloadType, signatures }));
			await s.trust(2, vendor, second);
		},
	],
]);

attacks("wrong software installation", [
	[
		"for another architecture",
		["E_TARGET"],
		(s) => s.insert([{ refs: [REF], input: { name: "core", arch: process.arch === "arm64" ? "amd64" : "arm64" } }]),
	],
	[
		"without FIPS on a FIPS box",
		["E_FIPS_MIX"],
		inserted(async (s) => {
			s.extra = { fips: true };
		}),
	],
	["for a newer agent", ["E_FORMAT"], (s) => s.insert([{ refs: [REF], input: { name: "core", minAgent: "99.0.0" } }])],
	[
		"under another name than the release says",
		["E_RELEASE_SET"],
		async (s) => {
			const medium = await s.insert();
			await medium.writeRelease({ bundles: [{ ...medium.release.bundles[0]!, name: "other" }] });
		},
	],
	[
		"of another version than the release says",
		["E_RELEASE_SET"],
		async (s) => {
			const medium = await s.insert();
			await medium.writeRelease({ bundles: [{ ...medium.release.bundles[0]!, version: "9.9.9" }] });
		},
	],
]);
