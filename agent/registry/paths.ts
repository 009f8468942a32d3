const ROUTE = /^\/v2\/(?<name>[^?]+?)\/(?<rest>(?:manifests|blobs|referrers)\/[^/?]+|tags\/list)(?<query>\?.*)?$/;

/**
 * Repository names have any depth (`docker.io/library/nginx`), route parameters one segment: folds the name into one by
 * escaping its slashes. The last `/manifests/…`, `/blobs/…`, `/referrers/…` or `/tags/list` ends the name.
 */
export function foldName(url: string): string {
	const found = ROUTE.exec(url)?.groups;
	return found === undefined ? url : `/v2/${encodeURIComponent(found.name ?? "")}/${found.rest}${found.query ?? ""}`;
}
