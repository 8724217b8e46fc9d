/** Numbers as text with so many digits, rounded as Python rounds: to the nearest, and ties to even. Pure. */

/** `format(value, f'.{digits}f')` of a finite number. */
export function fixed(value: number, digits: number): string {
  const places = Math.min(digits, 100);
  const rounded =
    Math.abs(value) >= 1e21
      ? String(BigInt(value)) + (places > 0 ? `.${'0'.repeat(places)}` : '')
      : value.toFixed(places);
  if (!isTie(value, places)) return signed(value, rounded);
  // JavaScript goes away from zero.
  const odd = Number(rounded.at(-1)) % 2 === 1;
  const unit = 10 ** -places;
  return signed(value, odd ? (value - Math.sign(value) * unit * 0.5).toFixed(places) : rounded);
}

const signed = (value: number, text: string): string =>
  text.startsWith('-') || !(value < 0 || Object.is(value, -0)) ? text : `-${text}`;

/** Whether a number lies in the middle of two that have so many digits. */
function isTie(value: number, digits: number): boolean {
  if (digits > 20 || Math.abs(value) >= 2 ** 52) return false;
  return new RegExp(`\\.\\d{${digits}}50*$`).test(value.toFixed(Math.min(100, digits + 60)));
}

/** `format(value, f'.{digits}e')` of a finite number. */
export const exponential = (value: number, digits: number): string =>
  signed(value, value.toExponential(Math.min(digits, 100)).replace(/e([+-])(\d)$/, 'e$10$2'));

/** `format(value, f'.{digits}g')` of a finite number. @param isAlternate keep zeros at the end */
export function general(value: number, digits: number, isAlternate = false): string {
  const precision = Math.max(1, digits);
  const exponent = value === 0 ? 0 : Number(value.toExponential(Math.min(100, precision - 1)).split('e')[1]);
  const text =
    exponent < -4 || exponent >= precision ? exponential(value, precision - 1) : fixed(value, precision - 1 - exponent);
  if (isAlternate || !text.includes('.')) return text;
  return text.replace(/\.?0+(?=e|$)/, '');
}

/** An integer in another base, without a prefix. */
export const inBase = (value: bigint, type: string): string =>
  value.toString(type === 'b' ? 2 : type === 'o' ? 8 : type === 'd' ? 10 : 16);
