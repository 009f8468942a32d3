/**
 * Runs `work` on every item, at most `limit` at a time. After a failure nothing more is begun; what runs is waited for, then
 * the first failure is thrown.
 */
export async function parallel<T>(
	items: Iterable<T>,
	limit: number,
	work: (item: T) => Promise<unknown>,
): Promise<void> {
	const queue = items[Symbol.iterator]();
	const failures: unknown[] = [];
	const lane = async () => {
		for (let next = queue.next(); !next.done && failures.length === 0; next = queue.next()) {
			await work(next.value).catch((error: unknown) => failures.push(error));
		}
	};
	await Promise.all(Array.from({ length: limit }, lane));
	if (failures.length > 0) throw failures[0];
}
