/** How the rows of both directions travel, from what the caller said. */
import { invalid } from './all_to_all_check.js';
import type { WireOptions } from './all_to_all_contract.js';
import type { PayloadShape } from './payload.js';
import { CustomRows } from '../../codec/custom_rows.js';
import type { WireCodec } from '../../codec/wire_codec.js';
import { WIRE_DTYPES, type WireDtype, type WireForm } from '../../codec/wire_dtype.js';

/** For rows of `hidden` channels. @throws CommError INVALID_ARGUMENT for what is neither a dtype nor a codec, CODEC_FAILED for a codec that can't be used */
export function wireFormsOf(
  { dispatch = 'f32', combine = 'f32' }: WireOptions,
  hidden: number,
): Pick<PayloadShape, 'dispatchDtype' | 'combineDtype'> {
  const dispatchDtype = formOf('wire.dispatch', dispatch, hidden);
  return {
    dispatchDtype,
    combineDtype: combine === dispatch ? dispatchDtype : formOf('wire.combine', combine, hidden),
  };
}

function formOf(name: string, given: WireDtype | WireCodec, hidden: number): WireForm {
  if (typeof given === 'string' && WIRE_DTYPES.includes(given)) return given;
  if (isCodec(given)) return new CustomRows(given, hidden);
  const what = typeof given === 'string' ? given : 'no codec';
  throw invalid(`${name} is ${what}; pass ${WIRE_DTYPES.join(', ')} or an object with rowBytes, encode and decode`);
}

/** Checked as it is, whatever its type says: it may come from somebody's JavaScript. */
function isCodec(given: Partial<WireCodec> | string | null): given is WireCodec {
  if (typeof given !== 'object' || given === null) return false;
  const { rowBytes, encode, decode } = given;
  return [rowBytes, encode, decode].every((each) => typeof each === 'function');
}
