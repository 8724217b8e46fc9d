/** A message of a consumer, and what the server is told of it; NATS' own one can't be acknowledged again when the first time failed. */
import { nanos, type Msg } from '@nats-io/transport-node';
import type { NatsCalls } from './nats_calls.js';

/** For an answer of the server. */
const TIMEOUT_MS = 2000;

/** In hand until it is settled. */
export class HeldMessage {
  /** Times that it was delivered, this one too. */
  readonly deliveries: number;
  /** When it came to the stream, in milliseconds of the server's clock. */
  readonly storedMs: number;

  /** @throws RangeError: it is no message of a consumer */
  constructor(
    private readonly calls: NatsCalls,
    private readonly message: Msg,
  ) {
    const tokens = (message.reply ?? '').split('.');
    // $JS.ACK.STREAM.CONSUMER.deliveries.streamSequence.sequence.timeNs.…, and two more before STREAM where domain and account are named.
    const at = tokens.length >= 11 ? 6 : 4;
    const [deliveries, , , storedNs] = tokens.slice(at);
    this.deliveries = Number(deliveries);
    this.storedMs = Math.floor(Number(storedNs) / 1e6);
    if (!Number.isSafeInteger(this.deliveries) || !Number.isFinite(this.storedMs))
      throw new RangeError(`a message of ${message.subject} says nothing of its delivery`);
  }

  get subject(): string {
    return this.message.subject;
  }

  get text(): string {
    return this.message.string();
  }

  /** It is worked on. */
  working(): void {
    this.say('+WPI');
  }

  /** It is to come again, not before `delayMs`. It does so too where that doesn't get through, only later. */
  again(delayMs: number): void {
    this.say(delayMs > 0 ? `-NAK ${JSON.stringify({ delay: nanos(delayMs) })}` : '-NAK');
  }

  /** It doesn't come again; the server said that it knows. @throws what NATS' client throws */
  async done(): Promise<void> {
    await this.calls.nats.request(this.message.reply!, '+ACK', { timeout: TIMEOUT_MS });
  }

  private say(text: string): void {
    if (this.calls.link.isUp) this.calls.nats.publish(this.message.reply!, text);
  }
}
