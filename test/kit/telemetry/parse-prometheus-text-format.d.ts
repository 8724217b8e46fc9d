declare module 'parse-prometheus-text-format' {
  /** Each family with its samples; values are texts. */
  export default function parse(text: string): unknown;
}
