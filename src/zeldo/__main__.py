"""`python -m zeldo`."""

import sys

from zeldo.commands import main

sys.exit(main())
