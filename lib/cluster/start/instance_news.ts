/** What an instance tells the process that started it, over the channel that Node makes between the two. */

/** It serves from now on. */
export interface InstanceNews {
  readonly kind: 'listening';
  /** Where, with the port that it got. */
  readonly url: string;
  /** As requests name it. */
  readonly model: string;
  /** Prompts may be text. */
  readonly hasTokenizer: boolean;
}

/** Whether what a process sent is such news: another program may run there. */
export const isInstanceNews = (message: unknown): message is InstanceNews =>
  typeof message === 'object' && message !== null && 'kind' in message && message.kind === 'listening';
