"""Run the command line with `python -m speechtl`."""

from speechtl.cli import main

main()
