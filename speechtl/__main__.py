"""Run the command line with `python -m speechtl`."""

from speechtl.cli.app import main

main()
