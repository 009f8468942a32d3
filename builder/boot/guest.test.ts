import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { type Guest, qemuArgs } from "../tools/qemu.ts";
import { startGuest } from "./guest.ts";

test("without KVM the processor lacks what emulation stalls on; paths with commas stay one value", () => {
	const guest: Guest = {
		...{
			arch: "amd64",
			firmware: "uefi",
			media: "usb",
			iso: "/a,b.iso",
			memory: 2048,
			accel: "tcg",
			serialLog: "/s.log",
		},
		...{ forward: [[8080, 1234]], uefi: { code: "/c.fd", vars: "/v.fd" }, disk: "/d.img", qmp: "/q,q.sock" },
	};
	const args = qemuArgs(guest).join(" ");
	expect(args).toContain("-accel tcg,thread=multi -cpu max,erms=off,fsrm=off");
	expect(args).toContain("file.filename=/a,,b.iso -device qemu-xhci,id=usb -device usb-storage,id=stick,");
	expect(args).toContain("hostfwd=tcp:127.0.0.1:1234-:8080");
	expect(args).toContain("-qmp unix:/q,,q.sock,server");
	expect(args).toContain("-machine q35,smm=on");
	expect(qemuArgs({ ...guest, accel: "kvm", uefi: null, media: "cd" }).join(" ")).not.toMatch(/tcg|pflash|usb/);
});

test("the socket of a guest has a path that the kernel takes, however deep the scratch folder, and goes with the guest", async () => {
	const socket = Promise.withResolvers<string>();
	const guest = await startGuest({
		...{ arch: "amd64", firmware: "bios", media: "usb", iso: "/a.iso", memory: 512, serialLog: "/s.log", disk: null },
		...{
			ownKey: false,
			ports: [],
			work: join(await tempDir(), "deep".repeat(40)),
			signal: new AbortController().signal,
		},
		run: async (program, args) => {
			const path = /unix:([^,]+)/.exec(args.join(" "))?.[1];
			if (path !== undefined) {
				expect((await stat(dirname(path))).mode & 0o777).toBe(0o700);
				socket.resolve(path);
			}
			return { stdout: program, stderr: "", exitCode: 0 };
		},
	});
	const path = await socket.promise;
	expect(Buffer.byteLength(path)).toBeLessThanOrEqual(107);
	await guest.stop();
	await expect(stat(dirname(path))).rejects.toMatchObject({ code: "ENOENT" });
});
