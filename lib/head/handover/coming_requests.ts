/** Requests that are about to be queued: somebody is asked for their blocks first. By their ids; of two with one name the later one counts. */
export class ComingRequests {
  private readonly coming = new Map<string, Promise<void>>();

  /** One more; call what is returned once it is queued, or over. Idempotent. */
  begin(id: string | undefined): () => void {
    if (id === undefined) return () => undefined;
    let end = (): void => undefined;
    const queued = new Promise<void>((resolve) => (end = resolve));
    this.coming.set(id, queued);
    return () => {
      if (this.coming.get(id) === queued) this.coming.delete(id);
      end();
    };
  }

  /** Fulfilled when a request of that name isn't about to be queued any more. */
  async over(id: string): Promise<void> {
    await this.coming.get(id);
  }
}
