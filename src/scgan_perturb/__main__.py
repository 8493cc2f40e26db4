"""`python -m scgan_perturb` runs the command `scgan-perturb`."""

from ._cli import run

if __name__ == "__main__":
    run()
