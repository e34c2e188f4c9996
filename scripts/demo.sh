#!/usr/bin/env bash
# Makes sound for a video, or runs another task, through a real ComfyUI, after setting up what that needs:
#   bash scripts/demo.sh [v2a|i2a|a2v|joint|align|all] [FILE]
#   bash scripts/demo.sh batch [FOLDER]     sound for every video of a folder, without ComfyUI
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/scripts/setup.sh"
export OMP_WAIT_POLICY=passive HF_HUB_OFFLINE=1 PYTHONPATH="$root"
exec "$root/.venv/bin/python" "$root/scripts/demo.py" "$@"
