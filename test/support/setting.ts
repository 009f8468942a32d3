/** A whole number from the environment; `otherwise` when it is not set, or empty, as make hands on what it was not given. */
export function setting(name: string, otherwise: number): number {
	const text = process.env[name] ?? "";
	if (text === "") return otherwise;
	if (!/^\d{1,10}$/.test(text)) throw new Error(`${name}=${text} is not a number`);
	return Number(text);
}
