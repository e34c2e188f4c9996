"""The method of "Seeing and Hearing" (Xing et al., CVPR 2024, arXiv 2402.17723); knows nothing of ComfyUI."""
