/** Why nothing comes from a source of blocks: told once, until something comes from it again. */

/** Sources that are remembered; the one that failed first is forgotten, and may be told again. */
const MAX_SOURCES = 1024;

/** One per kind of source. */
export class ToldOnce {
  private readonly told = new Set<string>();

  /** @param onNotice default: nobody hears of it */
  constructor(private readonly onNotice: (line: string) => void = () => undefined) {}

  /** `source`: what it is known by; `line`: what is told. */
  failed(source: string, line: string): void {
    if (this.told.has(source)) return;
    if (this.told.size === MAX_SOURCES) this.told.delete(this.told.values().next().value!);
    this.told.add(source);
    this.onNotice(line);
  }

  /** Something came. */
  worked(source: string): void {
    this.told.delete(source);
  }
}
