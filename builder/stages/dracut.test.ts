import { gzipSync, zstdCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { cpio } from "../../test/support/cpio.ts";
import { initrdFaults, isDracutFault } from "./dracut.ts";

test.each([
	["dracut[E]: FAILED: /usr/lib/dracut/dracut-install -D /var/tmp/x --kerneldir", true],
	["dracut-install: ERROR: installing 'sha512hmac'", true],
	["dracut[F]: No space left", true],
	["dracut[W]: modprobe.d file", false],
	["dracut[I]: *** Including module: base ***", false],
])("dracut says %s", (line, fault) => {
	expect(isDracutFault(line)).toBe(fault);
});

test("an initrd without what its modules bring is refused, packed in another way too", () => {
	const program = (name: string) => ({ [`usr/sbin/${name}`]: Buffer.from("#!/bin/sh\n") });
	const modules = ["dmsquash-live", "slipway-root", "fips"];
	const good = cpio({ ...program("dmsquash-live-root.sh"), ...program("slipway-root") });
	expect(initrdFaults(zstdCompressSync(good), modules)).toEqual([]);
	const without = cpio({ ...program("dmsquash-live-root"), ...program("slipway-root.txt") });
	expect(initrdFaults(zstdCompressSync(without), modules)).toEqual(["no slipway-root in it"]);
	expect(initrdFaults(zstdCompressSync(without), ["dmsquash-live"])).toEqual([]);
	expect(initrdFaults(gzipSync(good), modules)).toEqual(["it is not packed with zstd"]);
	expect(initrdFaults(zstdCompressSync(good.subarray(100)), modules)).toEqual(["its archive cannot be read"]);
});
