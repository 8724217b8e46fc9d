/** What goes wrong between the page and its server. */
import { CodedError } from '../../../base/coded_error.js';

/** `NO_KEY`: the server wants an API key, or another one; `REFUSED`: it said no; `DISCONNECTED`: it can't be reached, or stopped in the middle. */
export type PageErrorCode = 'NO_KEY' | 'REFUSED' | 'DISCONNECTED';

/** An error that the page shows. */
export class PageError extends CodedError<PageErrorCode> {}
