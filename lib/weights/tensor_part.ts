import type { TensorInfo } from './safetensors_header.js';

/** Bytes of a tensor that are read together: all of it, or an expert's of a tensor that holds many. */
export interface TensorPart {
  readonly tensor: TensorInfo;
  /** From the tensor's first byte on. */
  readonly offset: number;
  readonly numBytes: number;
}

/** All bytes of a tensor. */
export const wholeOf = (tensor: TensorInfo): TensorPart => ({
  tensor,
  offset: 0,
  numBytes: tensor.end - tensor.begin,
});

/** What a part is called in fingerprints: equal for the same bytes of checkpoints with the same headers. */
export function partName({ tensor, offset, numBytes }: TensorPart): string {
  const isWhole = numBytes === tensor.end - tensor.begin;
  return isWhole ? tensor.name : `${tensor.name} ${offset} ${numBytes}`;
}
