"""``python -m treadle.deploy.router``."""

import sys

from treadle.deploy.router.main import main

sys.exit(main())
