"""Plugin of the package: it serves the components to programs of other projects."""

import os
import sys
import threading
import time
from pathlib import Path

# The engine runs this folder, not the repository. Its own place on the path goes:
# names such as `network` would stand for these modules.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pulumi.provider.experimental import component_provider_host

from components.package import COMPONENTS, NAME, VERSION

POLL_SECONDS = 0.5


def end_with(parent: int) -> None:
    """An engine that is killed closes nothing: without this its plugins live on."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with, args=[os.getppid()], daemon=True).start()
    component_provider_host(list(COMPONENTS), NAME, version=VERSION)
