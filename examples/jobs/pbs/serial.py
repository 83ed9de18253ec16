#!/usr/bin/python3
# PBS -N serial
# PBS -l select=1:ncpus=1
# PBS -l walltime=02:00:00
# PBS -l checkpoint=periodic
"""Counts prime numbers below LIMIT. It knows nothing of checkpoints; a lost node costs it what came after the last."""

import os

limit = int(os.environ.get("LIMIT", "30000000"))
found = 0
for number in range(2, limit):
    if all(number % divisor for divisor in range(2, int(number**0.5) + 1)):
        found += 1
        if found % 1000 == 0:
            print(f"prime {found} is {number}", flush=True)
print(f"{found} primes below {limit}")
