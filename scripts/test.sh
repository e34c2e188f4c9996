#!/usr/bin/env bash
# Runs all tests, after setting up what they need. Arguments go to pytest: bash scripts/test.sh -k fbank
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/scripts/setup.sh" --browser
cd "$root"
# Two at a time: what needs a server beside what does not. One thread each, since small models gain nothing by more; threads
# that wait asleep, since spinning ones stall each other when cores are few and shared.
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive HF_HUB_OFFLINE=1
if [ $# -eq 0 ]; then # the whole: style and types first
  "$root/.venv/bin/ruff" check .
  "$root/.venv/bin/ruff" format --check .
  "$root/.venv/bin/mypy"
fi
exec "$root/.venv/bin/python" -m pytest tests -n 2 --dist loadgroup "$@"
