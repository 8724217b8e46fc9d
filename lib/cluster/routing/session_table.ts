/** Where sessions are, so that their next request goes there too. */

/** How long and how many are remembered. */
export interface SessionTableOptions {
  /** Since the last request of a session. */
  readonly ttlMs: number;
  /** The one that was quiet longest is forgotten. */
  readonly maxSessions: number;
}

/** Time is what the caller says. */
export class SessionTable {
  /** The one that was quiet longest first. */
  private readonly places = new Map<string, { readonly instance: string; readonly untilMs: number }>();

  constructor(private readonly options: SessionTableOptions) {}

  /** Where the last request went; null: nobody knows. */
  instanceOf(session: string, nowMs: number): string | null {
    const place = this.places.get(session);
    return place !== undefined && place.untilMs > nowMs ? place.instance : null;
  }

  /** A request of the session went there. */
  set(session: string, instance: string, nowMs: number): void {
    this.places.delete(session);
    this.places.set(session, { instance, untilMs: nowMs + this.options.ttlMs });
    for (const [each, { untilMs }] of this.places) {
      if (untilMs > nowMs && this.places.size <= this.options.maxSessions) break;
      this.places.delete(each);
    }
  }
}
