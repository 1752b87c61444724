"""Writes quantized checkpoints where llm-compressor can be imported, which is not where vLLM is.

    python quantizing.py BASE OUT

makes OUT/gptq (W4A16, two sensitive parts in full precision) and OUT/int8-dynamic (W8A8) from BASE.
"""

import sys
from pathlib import Path

from waterbed.harness.checkpoints import open_checkpoint
from waterbed.harness.stage import StageContext, stages

ROWS = {"data": {"pocket/pretrain@train": 128}}
STAGES = {"gptq": {**ROWS, "keep_most_sensitive": 2}, "int8-dynamic": {}}

if __name__ == "__main__":
    base, out = open_checkpoint(sys.argv[1]), Path(sys.argv[2])
    for name, settings in STAGES.items():
        untimed = {"timing": {"repeats": 0}}
        stages.get(name).run(base, StageContext(out / name), **settings, **untimed)
