"""Can requirements.txt be installed on every system it is meant for? Resolves it for each, without installing anything.

    pip install uv; python -m scripts.check_requirements

uv evaluates the markers of another system, which pip's own dry run does not.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PLATFORMS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-pc-windows-msvc", "aarch64-apple-darwin")
SHOWN = ("diffusers", "transformers", "huggingface-hub", "peft", "imagebind-unofficial", "decord", "av", "numpy")


def resolve(python: str, platform: str) -> tuple[bool, str]:
    """Whether it can be resolved, and the versions of a few packages or what went wrong."""
    command = [
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "--python-version",
        python,
        "--python-platform",
        platform,
        str(REQUIREMENTS),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        return False, result.stderr.strip().replace("\n", " ")
    versions = dict(line.split("==") for line in result.stdout.splitlines() if "==" in line)
    return True, ", ".join(f"{name} {versions[name].split(' ')[0]}" for name in SHOWN if name in versions)


def main() -> int:
    failures = 0
    for python, platform in itertools.product(PYTHONS, PLATFORMS):
        good, words = resolve(python, platform)
        failures += not good
        print(f"Python {python:5} {platform:28} {'yes' if good else 'NO'}  {words}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
