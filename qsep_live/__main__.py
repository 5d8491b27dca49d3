"""`python -m qsep_live` is `qsep-live`."""

from __future__ import annotations

from qsep_live.cli.main import main

if __name__ == "__main__":
    main()
