import { CodedError } from '../../../base/coded_error.js';

/** Everything that can go wrong between this process and an API server; the message ends with what to do. */
export type KubernetesErrorCode =
  | 'BAD_KUBECONFIG' // no cluster is named, or what names it can't be read
  | 'UNREACHABLE' // nothing answers, or the answer broke off
  | 'UNAUTHORIZED' // it doesn't know who asks
  | 'FORBIDDEN' // it knows, and this one may not
  | 'NOT_FOUND'
  | 'CONFLICT' // an object of this name is there already
  | 'REFUSED' // what was sent is wrong, or too much
  | 'FAILED'; // the server itself failed

/** The only error class that lib/kubernetes throws of itself. */
export class KubernetesError extends CodedError<KubernetesErrorCode> {}
