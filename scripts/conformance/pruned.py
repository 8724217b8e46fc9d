"""What transformers computes, in float64, with the checkpoints that pruned.mjs wrote.

    node pruned.mjs /tmp/pruned && python pruned.py /tmp/pruned ../../test/data/pruned/logits.json
"""

import torch

from written import write_logits

if __name__ == "__main__":
    write_logits(lambda folder: {"dtype": torch.float64})
