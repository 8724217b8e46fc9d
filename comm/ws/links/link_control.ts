/** The small messages from the receiving end of a data connection to the sending one: 16 bytes, little-endian. */
import { CommError } from '../../base/errors.js';
import type { Window } from '../../mesh/credit.js';

/** `ready`: the window that the receiver grants; frames may come from now on. `credit`: the part of it that is free again. */
export interface LinkControl extends Window {
  readonly kind: 'ready' | 'credit';
}

export const LINK_CONTROL_BYTES = 16;
const KINDS = ['ready', 'credit'] as const;

/** u32 kind (0 ready, 1 credit), u32 frames, f64 bytes: a window may exceed 32 bits. */
export function encodeLinkControl({ kind, numFrames, numBytes }: LinkControl): Uint8Array {
  const view = new DataView(new ArrayBuffer(LINK_CONTROL_BYTES));
  view.setUint32(0, KINDS.indexOf(kind), true);
  view.setUint32(4, numFrames, true);
  view.setFloat64(8, numBytes, true);
  return new Uint8Array(view.buffer);
}

/** @throws CommError PROTOCOL on anything that `encodeLinkControl` can't have written. */
export function decodeLinkControl(bytes: Uint8Array): LinkControl {
  if (bytes.byteLength !== LINK_CONTROL_BYTES) {
    throw refusal(`a control message of ${bytes.byteLength} bytes, ${LINK_CONTROL_BYTES} expected`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, LINK_CONTROL_BYTES);
  const kind = KINDS[view.getUint32(0, true)];
  const numBytes = view.getFloat64(8, true);
  if (kind === undefined) throw refusal(`a control message of kind ${view.getUint32(0, true)}`);
  if (!Number.isSafeInteger(numBytes) || numBytes < 0) throw refusal(`a credit of ${numBytes} bytes`);
  return { kind, numFrames: view.getUint32(4, true), numBytes };
}

function refusal(what: string): CommError {
  return new CommError('PROTOCOL', `received ${what} on a data link; run the same build on every rank`);
}
