"""`python -m service`: one process from its environment, as in the container."""

import os

if __name__ == "__main__":
    # Before numpy is imported: BLAS threads would fight over the container's CPUs.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from service.run import Warm, run

    run(Warm.load())
