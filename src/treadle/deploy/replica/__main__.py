"""``python -m treadle.deploy.replica``."""

import sys

from treadle.deploy.replica.main import main

sys.exit(main())
