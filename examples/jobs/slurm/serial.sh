#!/bin/bash
#SBATCH --job-name=pi
#SBATCH --time=01:00:00
#SBATCH --checkpoint=30m
# A serial program in Python, with a checkpoint every half hour. From this folder:
#
#   sbatch serial.sh [DIGITS]
#
# The program compares its result with what is known.
exec /usr/bin/python3 pi.py "$@"
