"""The four tasks over folders of files: python -m seeing_core.batch v2a --inputs DIR_OR_CSV --out DIR ..."""
