/** Events of one request, from the engine's loop to the one caller that iterates over them. */
export class EventQueue<T> implements AsyncIterableIterator<T> {
  private readonly events: T[] = [];
  private end: { readonly error: Error | null } | null = null;
  /** Tells a caller that waits that something came. */
  private wake: () => void = () => undefined;

  /** Adds an event; nothing after the end. */
  push(event: T): void {
    if (this.end !== null) return;
    this.events.push(event);
    this.wake();
  }

  /** The caller sees what was pushed, then the end, or the error. */
  close(error: Error | null = null): void {
    this.end ??= { error };
    this.wake();
  }

  /** The next event, awaited; done behind the last one. @throws the error that ended the queue, where one did */
  async next(): Promise<IteratorResult<T>> {
    while (this.events.length === 0 && this.end === null) await new Promise<void>((resolve) => (this.wake = resolve));
    const event = this.events.shift();
    if (event !== undefined) return { done: false, value: event };
    const { error } = this.end!;
    if (error !== null) throw error;
    return { done: true, value: undefined };
  }

  /** One reader alone: events that it took are gone. */
  [Symbol.asyncIterator](): this {
    return this;
  }
}
