"""Run the command line: ``python -m headtail``."""

from headtail.cli import main

main()
