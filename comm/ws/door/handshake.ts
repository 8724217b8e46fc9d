/**
 * Mutual proof of the job secret, or of a lease's token: messages and MACs only, no socket (docs/wire.md shows the exchange).
 * The secret never travels; each side's nonce makes a recorded proof worthless.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { Packr } from 'msgpackr';
import * as z from 'zod';
import { CommError, COMM_ERROR_CODES } from '../../base/errors.js';

/** Raised whenever a message or frame changes; both ends must speak the same. */
export const PROTOCOL_VERSION = 9;
export const MAX_HANDSHAKE_BYTES = 4096;
const NONCE_BYTES = 32;

/** What the two ends of one handshake share. */
export interface HandshakeOptions {
  readonly secret: string;
  /** What the socket is for: a proof for one purpose is none for another. */
  readonly purpose: 'control' | 'data' | 'kv' | 'pool';
  /** Default PROTOCOL_VERSION. */
  readonly protocol?: number;
}

/** What the listening side knows. */
export interface ListenerOptions extends Omit<HandshakeOptions, 'secret'> {
  /** One for all who come, or each its own by what it says it is; null: nobody's. */
  readonly secret: string | ((identity: unknown) => string | null);
}

/** One side's step: what to send, if anything, and how the handshake ended, if it did. */
export interface HandshakeStep {
  readonly reply?: Uint8Array;
  readonly outcome?: { readonly kind: 'accepted'; readonly identity: unknown } | HandshakeRefused;
}

/** How a handshake failed: with the error that this side found or the other one sent. */
export interface HandshakeRefused {
  readonly kind: 'refused';
  readonly error: CommError;
}

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array);
const nonce = bytes.refine((value) => value.byteLength === NONCE_BYTES);
const MESSAGE = z.discriminatedUnion('type', [
  z.object({ type: z.literal('challenge'), protocol: z.number(), nonce }),
  z.object({ type: z.literal('proof'), protocol: z.number(), nonce, identity: bytes, mac: bytes }),
  z.object({ type: z.literal('accept'), mac: bytes }),
  z.object({ type: z.literal('refuse'), code: z.enum(COMM_ERROR_CODES), message: z.string() }),
]);
type Message = z.infer<typeof MESSAGE>;

const packr = new Packr({ useRecords: false });

/** The side that accepted the connection: challenges, verifies, may refuse. */
export class ListenerHandshake {
  /** Hidden from whoever looks at the object: a secret is in it. */
  readonly #options: ListenerOptions;
  private readonly nonce = randomBytes(NONCE_BYTES);

  /** `admit` gets the peer's proved identity; a CommError that it throws refuses the peer. */
  constructor(
    options: ListenerOptions,
    private readonly admit: (identity: unknown) => void,
  ) {
    this.#options = options;
  }

  /** The first message of the handshake. */
  challenge(): Uint8Array {
    return encode({ type: 'challenge', protocol: protocolOf(this.#options), nonce: this.nonce });
  }

  /** The answer to the dialer's proof. */
  receive(message: Uint8Array): HandshakeStep {
    try {
      return this.verify(decode(message, 'proof'));
    } catch (error) {
      if (!(error instanceof CommError)) throw error;
      const reply = encode({ type: 'refuse', code: error.code, message: error.text });
      return { reply, outcome: { kind: 'refused', error } };
    }
  }

  private verify(proof: Extract<Message, { type: 'proof' }>): HandshakeStep {
    checkProtocol(protocolOf(this.#options), proof.protocol);
    const transcript = [this.nonce, proof.nonce, proof.identity];
    const options = { ...this.#options, secret: this.secretOf(proof) };
    if (!isEqual(proof.mac, macOf(options, 'dialer', transcript))) throw wrongSecret('the connecting side', options);
    const identity = unpack(proof.identity);
    this.admit(identity);
    const reply = encode({ type: 'accept', mac: macOf(options, 'listener', transcript) });
    return { reply, outcome: { kind: 'accepted', identity } };
  }

  /** Of somebody whom nobody knows one that nobody knows: who guesses names learns nothing. */
  private secretOf({ identity }: Extract<Message, { type: 'proof' }>): string {
    const { secret } = this.#options;
    return typeof secret === 'string' ? secret : (secret(unpack(identity)) ?? randomBytes(NONCE_BYTES).toString('hex'));
  }
}

/** The side that connected: proves itself, then verifies the listener. */
export class DialerHandshake {
  /** Hidden from whoever looks at the object: a secret is in it. */
  readonly #options: HandshakeOptions;
  private readonly identity: Uint8Array;
  private readonly nonce = randomBytes(NONCE_BYTES);
  private challenge: Uint8Array | undefined;

  constructor(options: HandshakeOptions, identity: unknown) {
    this.#options = options;
    this.identity = packr.pack(identity);
  }

  /** The answer to the challenge, then the verdict on the listener's acceptance. */
  receive(message: Uint8Array): HandshakeStep {
    try {
      return this.challenge === undefined ? this.prove(message) : this.verify(message, this.challenge);
    } catch (error) {
      if (!(error instanceof CommError)) throw error;
      return { outcome: { kind: 'refused', error } };
    }
  }

  private prove(message: Uint8Array): HandshakeStep {
    const challenge = decode(message, 'challenge');
    const protocol = protocolOf(this.#options);
    checkProtocol(protocol, challenge.protocol);
    this.challenge = challenge.nonce;
    const mac = macOf(this.#options, 'dialer', [challenge.nonce, this.nonce, this.identity]);
    return { reply: encode({ type: 'proof', protocol, nonce: this.nonce, identity: this.identity, mac }) };
  }

  private verify(message: Uint8Array, challenge: Uint8Array): HandshakeStep {
    const { mac } = decode(message, 'accept');
    const expected = macOf(this.#options, 'listener', [challenge, this.nonce, this.identity]);
    if (!isEqual(mac, expected)) throw wrongSecret('the listening side', this.#options);
    return { outcome: { kind: 'accepted', identity: undefined } };
  }
}

const protocolOf = (options: Pick<HandshakeOptions, 'protocol'>): number => options.protocol ?? PROTOCOL_VERSION;

const encode = (message: Message): Uint8Array => packr.pack(message);

/** A message of the expected type; a refusal is thrown as the error that it carries. */
function decode<T extends Message['type']>(data: Uint8Array, type: T): Extract<Message, { type: T }> {
  if (data.byteLength > MAX_HANDSHAKE_BYTES) {
    throw new CommError('PROTOCOL', `a handshake message of ${data.byteLength} bytes, ${MAX_HANDSHAKE_BYTES} allowed`);
  }
  const message = MESSAGE.safeParse(unpack(data)).data;
  if (message?.type === type) return message as Extract<Message, { type: T }>;
  if (message?.type === 'refuse') throw new CommError(message.code, message.message);
  throw new CommError('PROTOCOL', `no '${type}' message in the handshake; is this the port of an expertwire job?`);
}

function unpack(data: Uint8Array): unknown {
  try {
    return packr.unpack(data);
  } catch (cause) {
    throw new CommError('PROTOCOL', 'unreadable bytes in the handshake; is this the port of an expertwire job?', {
      cause,
    });
  }
}

function checkProtocol(own: number, other: number): void {
  if (own === other) return;
  const message = `the peer speaks protocol ${other}, this build ${own}; run the same build everywhere`;
  throw new CommError('VERSION_MISMATCH', message);
}

/** Each part is preceded by its length, so that no two lists of parts give the same bytes. */
function macOf(options: HandshakeOptions, side: 'listener' | 'dialer', parts: readonly Uint8Array[]): Uint8Array {
  const mac = createHmac('sha256', options.secret);
  for (const part of [Buffer.from(`expertwire/${side}/${options.purpose}`), ...parts]) {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(part.byteLength);
    mac.update(length).update(part);
  }
  return mac.digest();
}

const isEqual = (a: Uint8Array, b: Uint8Array): boolean => a.byteLength === b.byteLength && timingSafeEqual(a, b);

function wrongSecret(who: string, { purpose }: Pick<HandshakeOptions, 'purpose'>): CommError {
  return new CommError('AUTH_FAILED', `${who} doesn't know ${SECRETS[purpose]}`);
}

const JOB_SECRET = 'the job secret; give the head and every rank the same secret';
/** What is to be known, and what to do about it. */
const SECRETS: Readonly<Record<HandshakeOptions['purpose'], string>> = {
  control: JOB_SECRET,
  data: JOB_SECRET,
  kv: 'the token of a lease that is in force; it may have run out: ask the source for another',
  pool: 'the key of the pool; take the address that it says itself',
};
