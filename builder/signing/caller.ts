import { lchown } from "node:fs/promises";

/** Under sudo, hands files to the person who called it, so that they can use and remove what the build made for them. */
export async function giveToCaller(...files: string[]): Promise<void> {
	const [uid, gid] = [Number(process.env.SUDO_UID), Number(process.env.SUDO_GID)];
	if (process.getuid?.() !== 0 || !(uid > 0) || !(gid >= 0)) return;
	for (const file of files) await lchown(file, uid, gid);
}
