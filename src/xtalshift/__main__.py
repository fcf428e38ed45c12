"""``python -m xtalshift``."""

from xtalshift.cli.main import main

if __name__ == "__main__":
    main()
