/** How an instance shows that it has the cluster's key before anybody sends it: servers of others never see the key. Pure, but for the challenge. */
import { createHash, createHmac, randomBytes } from 'node:crypto';

/** Of a request: a {@link newChallenge}. */
export const CHALLENGE_HEADER = 'x-expertwire-challenge';
/** Of the answer: a {@link proofOf} the challenge for each key that the instance has, with commas between them; empty: it has none. */
export const PROOF_HEADER = 'x-expertwire-proof';

/** What nobody was asked before: 64 hex digits. */
export const newChallenge = (): string => randomBytes(32).toString('hex');

/** Whether a header can be a challenge. */
export const isChallenge = (header: unknown): header is string =>
  typeof header === 'string' && /^[0-9a-f]{64}$/.test(header);

/** SHA-256 of a key. */
export const keyDigest = (key: string): Buffer => createHash('sha256').update(key).digest();

/** Only who has the key, of which this is the {@link keyDigest}, can make it: 64 hex digits. */
export const proofOf = (digest: Buffer, challenge: string): string =>
  createHmac('sha256', digest).update(`expertwire cluster ${challenge}`).digest('hex');

/** Whether an answer's {@link PROOF_HEADER} shows that who answered has this key. */
export const isProofOf = (header: string | null, key: string, challenge: string): boolean =>
  header?.split(/, ?/).includes(proofOf(keyDigest(key), challenge)) ?? false;
