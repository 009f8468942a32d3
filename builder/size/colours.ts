/** One hue for each kind of content, told apart by people who see few colours too: lightness differs as well. */
const HUES: Readonly<Record<string, readonly [hue: number, saturation: number, lightness: number]>> = {
	Packages: [212, 52, 36],
	Firmware: [275, 38, 42],
	"Node.js": [135, 38, 30],
	Agent: [172, 55, 26],
	"Of no package": [205, 22, 34],
	"dm-verity hash tree": [220, 12, 40],
	"Root image": [215, 30, 30],
	Initrd: [20, 80, 33],
	Kernel: [355, 58, 40],
	Content: [45, 85, 50],
	"Boot images": [325, 42, 38],
};
const OTHER = [220, 8, 36] as const;

/** Fill of the nth box among its neighbours: shades differ a little, so that their edges are seen. */
export function fill(kind: string, n = 0): string {
	return css(shade(kind, n));
}

/** Black or white, whichever is read more easily on all fills of a kind (WCAG 2, relative luminance). */
export function ink(kind: string): string {
	const light = luminance(shade(kind, 2));
	return (light + 0.05) / 0.05 > 1.05 / (light + 0.05) ? "#111" : "#fff";
}

/** A pale tone of the same hue, for frames. */
export function pale(kind: string): string {
	const [hue, saturation] = HUES[kind] ?? OTHER;
	return css([hue, Math.round(saturation * 0.6), 90]);
}

function shade(kind: string, n: number): readonly [number, number, number] {
	const [hue, saturation, lightness] = HUES[kind] ?? OTHER;
	return [hue, saturation, lightness + (n % 3) * 3];
}

function css([hue, saturation, lightness]: readonly [number, number, number]): string {
	return `hsl(${hue} ${saturation}% ${lightness}%)`;
}

function luminance([hue, saturation, lightness]: readonly [number, number, number]): number {
	const [s, l] = [saturation / 100, lightness / 100];
	const channel = (n: number) => {
		const k = (n + hue / 30) % 12;
		const value = l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1));
		return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
	};
	return 0.2126 * channel(0) + 0.7152 * channel(8) + 0.0722 * channel(4);
}
