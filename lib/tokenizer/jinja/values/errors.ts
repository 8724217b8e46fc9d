import { CodedError } from '../../../../base/coded_error.js';

/** What can go wrong with a template; the text says what, the field says where. */
export type TemplateErrorCode =
  | 'TEMPLATE_SYNTAX' // the source is no Jinja
  | 'TEMPLATE_FAILED' // an operation that Python refuses too, or something that isn't implemented
  | 'TEMPLATE_RAISED' // the template called raise_exception
  | 'TEMPLATE_LIMIT'; // it makes too much, or runs for too long

/** The only error class that lib/tokenizer/jinja throws. */
export class TemplateError extends CodedError<TemplateErrorCode> {
  /** Line of the template, from 1; null where it isn't known (yet). */
  line: number | null;

  constructor(code: TemplateErrorCode, text: string, line: number | null = null) {
    super(code, text);
    this.line = line;
  }
}

/** An operation that Python refuses, in its words. */
export const failed = (text: string): TemplateError => new TemplateError('TEMPLATE_FAILED', text);
