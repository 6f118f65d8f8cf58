"""`python -m medidiff`."""

from medidiff.cli import main

if __name__ == "__main__":
    main()
