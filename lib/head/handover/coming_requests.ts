/** Requests that are about to be queued: somebody is asked for their blocks first. */
export class ComingRequests {
  /** By their ids; of two with one name the later one counts. */
  private readonly named = new Map<string, Promise<void>>();
  private count = 0;

  /** How many there are. */
  get size(): number {
    return this.count;
  }

  /** One more; call what is returned once it is queued, or over. Idempotent. `id`: undefined: it has no name. */
  begin(id: string | undefined): () => void {
    let end = (): void => undefined;
    const queued = new Promise<void>((resolve) => (end = resolve));
    this.count++;
    if (id !== undefined) this.named.set(id, queued);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.count--;
      if (id !== undefined && this.named.get(id) === queued) this.named.delete(id);
      end();
    };
  }

  /** Fulfilled when a request of that name isn't about to be queued any more. */
  async over(id: string): Promise<void> {
    await this.named.get(id);
  }
}
