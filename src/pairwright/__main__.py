"""`python -m pairwright`, also what `accelerate launch -m pairwright` starts."""

import sys

from pairwright.cli import main

if __name__ == "__main__":
    sys.exit(main())
