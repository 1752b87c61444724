"""`python -m waterbed` and the `waterbed` command."""

from .harness.cli.app import main

if __name__ == "__main__":
    main()
