"""Two threads that compute with numpy and write what they have after every few steps. Usage: threads.py SCALE"""

import hashlib
import sys
import threading

import numpy


def work(seed: int, steps: int) -> None:
    generator = numpy.random.default_rng(seed)
    state = generator.random((160, 160))
    other = generator.random((160, 160))
    with open(f"thread{seed}.out", "w", encoding="ascii") as out:
        for step in range(steps):
            state = state @ other
            state /= numpy.abs(state).max()
            if step % 10 == 0:
                print(step, hashlib.sha256(state.tobytes()).hexdigest(), file=out, flush=True)
                other = generator.random((160, 160))


def main() -> None:
    threads = [threading.Thread(target=work, args=(seed, 200 * int(sys.argv[1]))) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("done")


main()
