"""Small trained models in the real on-disk formats, and the world that made and judges them."""

from pathlib import Path

MODELS_DIR = Path(__file__).parent / "models"
