/** `datetime.strftime` in Python's default locale, by this machine's time zone. Pure. */

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

type Field = (date: Date) => string;

const two = (value: number): string => String(value).padStart(2, '0');
const spaced = (value: number): string => String(value).padStart(2, ' ');
const hour12 = (date: Date): number => date.getHours() % 12 || 12;
const dayOfYear = (date: Date): number =>
  1 +
  Math.round(
    (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 1)) / 86_400_000,
  );
/** Weeks begin with this day; those before the first are week 0. */
const weekOfYear = (date: Date, firstDay: number): number =>
  Math.floor((dayOfYear(date) + 6 - ((date.getDay() - firstDay + 7) % 7)) / 7);

/** The Thursday of a date's week says which year the week belongs to. */
function isoWeek(date: Date): { readonly year: number; readonly week: number } {
  const thursday = new Date(date.getFullYear(), date.getMonth(), date.getDate() + 4 - (date.getDay() || 7));
  return { year: thursday.getFullYear(), week: Math.ceil(dayOfYear(thursday) / 7) };
}

const FIELDS: Readonly<Record<string, Field>> = {
  a: (date) => DAYS[date.getDay()]!.slice(0, 3),
  A: (date) => DAYS[date.getDay()]!,
  b: (date) => MONTHS[date.getMonth()]!.slice(0, 3),
  B: (date) => MONTHS[date.getMonth()]!,
  c: (date) => strftime(date, '%a %b %e %H:%M:%S %Y'),
  C: (date) => two(Math.floor(date.getFullYear() / 100)),
  d: (date) => two(date.getDate()),
  D: (date) => strftime(date, '%m/%d/%y'),
  e: (date) => spaced(date.getDate()),
  f: (date) => String(date.getMilliseconds() * 1000).padStart(6, '0'),
  F: (date) => strftime(date, '%Y-%m-%d'),
  g: (date) => two(isoWeek(date).year % 100),
  G: (date) => String(isoWeek(date).year),
  h: (date) => MONTHS[date.getMonth()]!.slice(0, 3),
  H: (date) => two(date.getHours()),
  I: (date) => two(hour12(date)),
  j: (date) => String(dayOfYear(date)).padStart(3, '0'),
  k: (date) => spaced(date.getHours()),
  l: (date) => spaced(hour12(date)),
  m: (date) => two(date.getMonth() + 1),
  M: (date) => two(date.getMinutes()),
  n: () => '\n',
  p: (date) => (date.getHours() < 12 ? 'AM' : 'PM'),
  P: (date) => (date.getHours() < 12 ? 'am' : 'pm'),
  r: (date) => strftime(date, '%I:%M:%S %p'),
  R: (date) => strftime(date, '%H:%M'),
  s: (date) => String(Math.floor(date.getTime() / 1000)),
  S: (date) => two(date.getSeconds()),
  t: () => '\t',
  T: (date) => strftime(date, '%H:%M:%S'),
  u: (date) => String(date.getDay() || 7),
  U: (date) => two(weekOfYear(date, 0)),
  V: (date) => two(isoWeek(date).week),
  w: (date) => String(date.getDay()),
  W: (date) => two(weekOfYear(date, 1)),
  x: (date) => strftime(date, '%m/%d/%y'),
  X: (date) => strftime(date, '%H:%M:%S'),
  y: (date) => two(date.getFullYear() % 100),
  Y: (date) => String(date.getFullYear()),
  z: () => '',
  Z: () => '',
  '%': () => '%',
};

/** A date as a format says: `%d %B %Y`; `%-d` is without zeros in front. What isn't known stays as it is. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([a-zA-Z%])/g, (whole, dash: string, name: string) => {
    const field = Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined;
    if (field === undefined) return whole;
    return dash === '' ? field(date) : field(date).replace(/^[0 ]+(?=.)/, '');
  });
}
