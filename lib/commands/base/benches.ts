/** Benchmarks and what measures do stand on top of this folder and are compiled by themselves: a name that the compiler doesn't follow. */
const BENCHES = new URL('../../../bench/index.js', import.meta.url).href;

/** What `bench/index.ts` exports, of which `T` is what is needed. Loaded only then. */
export const loadBenches = async <T extends object>(): Promise<T> => (await import(BENCHES)) as T;
