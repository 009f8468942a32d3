import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { archiveKey, pooled, writeArchive } from "./archive.ts";
import { makeDeb } from "./archive-debs.ts";
import { type ArchiveServer, serveFolder } from "./archive-server.ts";
import { standIn, type UbuntuArchive, ubuntuArchive } from "./archive-ubuntu.ts";

export interface ProArchive {
	readonly server: ArchiveServer;
	readonly archive: UbuntuArchive;
	/** What the user has. */
	readonly token: string;
	/** Every token there is: none may be found anywhere. */
	readonly tokens: readonly string[];
	close(): Promise<void>;
}

const TOKENS = ["C1userCANARY0123456789abcdef", "machineCANARY0123456789abcdef", "fipsCANARY0123456789abcdef"] as const;
const MACHINE = "/pro/machine-token.json";
const CONTRACT = "/v1/contract";

/**
 * Ubuntu's archive with Ubuntu Pro beside it: a service that gives a machine's token for the user's, a private pocket that demands a
 * token, and a client package that does with them what the vendor's does, as far as files and requests go.
 */
export async function proArchive(folder: string): Promise<ProArchive> {
	const auth = (token: string) => `Basic ${Buffer.from(`bearer:${token}`).toString("base64")}`;
	const [user, machine, fips] = TOKENS;
	const demands = (path: string) => {
		if (path === CONTRACT) return `Bearer ${user}`;
		if (path === MACHINE) return auth(user);
		return path.startsWith("/pro/fips-updates/") ? auth(fips) : undefined;
	};
	const server = await serveFolder(join(folder, "archive"), 0, demands);
	const key = await archiveKey(join(folder, "pro-key"));
	const own = join(folder, "pro-packages");
	await mkdir(own, { recursive: true });
	const client = await makeDeb(own, {
		...{ name: "ubuntu-pro-client", version: "34~24.04", depends: ["apt"] },
		files: {
			"usr/bin/pro": clientScript(server.url),
			"etc/ubuntu-advantage/uaclient.conf": "contract_url: https://pro.invalid\nlog_level: debug\n",
			"usr/share/keyrings/ubuntu-pro-fips-updates.gpg": { from: key.keyring },
		},
	});
	const archive = await ubuntuArchive(folder, [await pooled(client)]);
	const pocket = await Promise.all(
		[
			["linux-image-fips", "6.8.0-1000.1"],
			["openssl-fips-module-3", "3.0.13-0ubuntu3+Fips1"],
		].map(([name, version]) => standIn(own, name!, version!)),
	);
	const pro = join(archive.folder, "pro");
	await writeArchive(
		join(pro, "fips-updates/ubuntu"),
		[{ suite: "noble-updates", codename: "noble", packages: pocket }],
		key,
	);
	await mkdir(dirname(join(archive.folder, CONTRACT)));
	await writeFile(join(archive.folder, CONTRACT), "{}");
	const answer = { machineToken: machine, resourceTokens: [{ type: "fips-updates", token: fips }] };
	await writeFile(join(archive.folder, MACHINE), JSON.stringify(answer));
	const close = async () => {
		await key.close();
		await archive.key.close();
		await server.close();
	};
	return { server, archive, token: user, tokens: TOKENS, close };
}

/** Files, words and requests are those of the vendor's client; apt's own helper asks, so that nothing else need be installed. */
function clientScript(url: string): string {
	return `#!/bin/sh
set -eu
private=/var/lib/ubuntu-advantage/private
auth=/etc/apt/auth.conf.d/90ubuntu-advantage
sources=/etc/apt/sources.list.d/ubuntu-fips-updates.sources
case "$1" in
attach)
	token=$(sed -n 's/^token: //p' "$3")
	echo "$(date) attach $token" >>/var/log/ubuntu-advantage.log
	mkdir -p $private
	service=$(sed -n 's/^contract_url: //p' /etc/ubuntu-advantage/uaclient.conf)
	printf 'machine %s/pro/ login bearer password %s\\n' "$service" "$token" >/run/netrc
	if ! /usr/lib/apt/apt-helper -o APT::Sandbox::User=root -o Dir::Etc::netrc=/run/netrc download-file "$service${MACHINE}" $private/machine-token.json; then
		rm /run/netrc
		echo "Invalid token. See https://ubuntu.com/pro/dashboard" >&2
		exit 1
	fi
	rm /run/netrc
	;;
enable)
	token=$(sed -n 's/.*"type":"fips-updates","token":"\\([^"]*\\)".*/\\1/p' $private/machine-token.json)
	printf 'machine ${url}/pro/fips-updates/ubuntu/ login bearer password %s  # ubuntu-pro-client\\n' "$token" >$auth
	chmod 600 $auth
	printf '%s\\n' 'Types: deb' 'URIs: ${url}/pro/fips-updates/ubuntu' 'Suites: noble-updates' 'Components: main' \\
		'Signed-By: /usr/share/keyrings/ubuntu-pro-fips-updates.gpg' >$sources
	;;
detach) rm -rf $private $auth $sources ;;
esac
`;
}
