"""`python -m qamoe_bench`."""

from qamoe_bench.cli import main

if __name__ == "__main__":
    main()
