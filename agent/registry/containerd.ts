/** Where containerd looks for registries' settings (`config_path` of its CRI plugin, `--hosts-dir` of ctr). */
export const HOSTS_FOLDER = "/etc/containerd/certs.d";
const CA_FILE = "slipway.crt";
const HOST = /^[a-z0-9]+(?:[.-][a-z0-9]+)*(?::\d+)?$/;

/** The hosts that images came from: what names begin with, where that is a host and no mere path. Sorted. */
export function originalHosts(repositories: Iterable<string>): string[] {
	const first = [...repositories].flatMap((name) => (name.includes("/") ? [name.slice(0, name.indexOf("/"))] : []));
	return [...new Set(first)].filter((host) => HOST.test(host) && /[.:]|^localhost$/.test(host)).sort();
}

/**
 * Files for HOSTS_FOLDER that make containerd pull images of each host from the registry at `url`, and from nowhere else:
 * `server` is the registry too, because the default is the host on the internet. `ca` is the registry's certificate, if it
 * speaks TLS.
 */
export function containerdFiles(
	hosts: readonly string[],
	url: string,
	ca: string | undefined,
): { path: string; content: string }[] {
	const settings = ['capabilities = ["pull", "resolve"]', ...(ca === undefined ? [] : [`ca = "../${CA_FILE}"`])];
	const text = (host: string) =>
		[
			`# Images of ${host} come from this registry alone.`,
			...[`server = "${url}"`, ...settings, ""],
			// containerd 1.6 takes no file without a `host`, and would ask the internet instead.
			...[`[host."${url}"]`, ...settings.map((line) => `  ${line}`), ""],
		].join("\n");
	const files = hosts.map((host) => ({ path: `${host}/hosts.toml`, content: text(host) }));
	return ca === undefined ? files : [{ path: CA_FILE, content: ca }, ...files];
}
