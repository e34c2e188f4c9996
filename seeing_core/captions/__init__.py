"""Captions: a picture, a video or a sound put into words, by a language model or by the binder."""
