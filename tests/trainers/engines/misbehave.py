"""Stands in for a trainer that goes wrong: dies, is killed, hangs, or takes its time to end.

python misbehave.py HOW OUTPUT
"""

import os
import signal
import sys
import time
from pathlib import Path

HOW, OUTPUT = sys.argv[1], Path(sys.argv[2])


def patient(number: int, _frame: object) -> None:
    (OUTPUT / "saved").write_text(signal.Signals(number).name)
    sys.exit(1)


print("loading the model\x1b[31m", flush=True)
if HOW == "dies":
    print("CUDA out of memory", file=sys.stderr)
    sys.exit(3)
elif HOW == "is killed":
    os.kill(os.getpid(), signal.SIGKILL)
elif HOW == "hangs":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
elif HOW == "saves when asked to end":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, patient)
    (OUTPUT / "ready").write_text(str(os.getpid()))
    time.sleep(60)
