"""``python -m xtalshift``."""

from xtalshift.cli.main import main

main()
