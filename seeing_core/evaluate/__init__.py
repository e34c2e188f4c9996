"""The measures over folders of files: python -m seeing_core.evaluate --generated DIR [--reference DIR] --out FILE."""
