import type { Profile } from "../profile/schema.ts";

/** Machines with BIOS have GRUB alone to start from. */
export function startsByBios({ arch, boot }: Pick<Profile, "arch" | "boot">): boolean {
	return arch === "amd64" && boot === "grub";
}

/** Path on the ISO and in its EFI system partition of the certificate, in DER, that signs a unified kernel image. */
export const UKI_CERTIFICATE = "EFI/slipway.cer";
