/** Events of one request, from the engine's loop to the caller that iterates over them. */
export class EventQueue<T> implements AsyncIterableIterator<T> {
  private readonly events: T[] = [];
  private waiting: { resolve(result: IteratorResult<T>): void; reject(error: Error): void } | null = null;
  private end: { readonly error: Error | null } | null = null;

  push(event: T): void {
    if (this.end !== null) return;
    if (this.waiting === null) this.events.push(event);
    else this.settle()!.resolve({ done: false, value: event });
  }

  /** The caller sees what was pushed, then the end, or the error. */
  close(error: Error | null = null): void {
    if (this.end !== null) return;
    this.end = { error };
    const caller = this.settle();
    if (error === null) caller?.resolve({ done: true, value: undefined });
    else caller?.reject(error);
  }

  next(): Promise<IteratorResult<T>> {
    const event = this.events.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.end === null) return new Promise((resolve, reject) => (this.waiting = { resolve, reject }));
    const { error } = this.end;
    return error === null ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  private settle(): typeof this.waiting {
    const caller = this.waiting;
    this.waiting = null;
    return caller;
  }
}
