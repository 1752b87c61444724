"""Where a zygote process starts: `python -P -s -S boot.py FD`, by path, never imported.

Makes the files of this folder importable as a package without running the package they belong
to, so that a zygote loads the standard library and these files and nothing else.
"""

import importlib
import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main() -> None:
    spec = importlib.util.spec_from_loader("inside", loader=None, is_package=True)
    assert spec is not None
    package = importlib.util.module_from_spec(spec)
    package.__path__ = [HERE]
    sys.modules["inside"] = package
    zygote = importlib.import_module("inside.zygote")
    zygote.main(int(sys.argv[1]))


if __name__ == "__main__":
    main()
