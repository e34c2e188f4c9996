"""Captions: a picture, a film or a sound put into words, by a language model or by the binder."""
