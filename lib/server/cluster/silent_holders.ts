/** Instances that didn't answer when they were asked for blocks: for a while nobody waits for them again. Time is what the caller says. */

/** Until one is asked again; it doubles each time. */
const FIRST_MS = 1000;
const MAX_MS = 60_000;
/** That are remembered; the one that was silent longest ago is forgotten. */
const MAX_HOLDERS = 256;

/** By their URLs. */
export class SilentHolders {
  private readonly silences = new Map<string, { readonly untilMs: number; readonly ms: number }>();

  /** It isn't to be asked now. */
  has(url: string, nowMs: number): boolean {
    return (this.silences.get(url)?.untilMs ?? 0) > nowMs;
  }

  /** It said nothing, or can't be reached. */
  add(url: string, nowMs: number): void {
    const ms = Math.min(MAX_MS, 2 * (this.silences.get(url)?.ms ?? FIRST_MS / 2));
    this.silences.delete(url);
    this.silences.set(url, { untilMs: nowMs + ms, ms });
    for (const [first] of this.silences) if (this.silences.size > MAX_HOLDERS) this.silences.delete(first);
  }

  /** It answered. */
  heard(url: string): void {
    this.silences.delete(url);
  }
}
