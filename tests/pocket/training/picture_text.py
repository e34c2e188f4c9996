"""The pocket CLIP text encoder of the video model and its tokenizer: trained on the captions of the world."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tests.pocket.training.common import Card, Folders, Run, trainable
from tests.pocket.world_kinds import (
    AMBIGUOUS_CAPTIONS,
    KINDS,
    partial_captions,
    precise_captions,
)

STAGE = "picture_text"
TEXT_WIDTH, MAX_TOKENS = 64, 77
START, END = "<|startoftext|>", "<|endoftext|>"
STEPS, BATCH, SEED, MERGES = 400, 48, 32, 96
# How people write prompts: the caption alone, or with words round it that say nothing about the kind.
SETTINGS = ("{}", "a video of {}", "{}, high quality", "a video of {} in a room")


def captions_of_world() -> tuple[list[str], Tensor, Tensor]:
    """All captions, the kind each tells of (-1: none), and how much it tells.

    Returns texts (N), kinds (N,) and levels (N,): 0 precise, 1 partial, 2 ambiguous, 3 empty.
    """
    rows: list[tuple[str, int, int]] = []
    for index, kind in enumerate(KINDS):
        rows += [(text, index, 0) for text in precise_captions(kind)]
        rows += [(text, index, 1) for text in partial_captions(kind)]
    rows += [(text, -1, 2) for text in AMBIGUOUS_CAPTIONS]
    rows = [(setting.format(text), kind, level) for text, kind, level in rows for setting in SETTINGS]
    rows.append(("", -1, 3))
    texts, kinds, levels = zip(*rows)
    return list(texts), torch.tensor(kinds), torch.tensor(levels)


def build_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer whose vocabulary is every byte, every byte that ends a word, and a few merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = CLIPTokenizer().backend_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + 400, initial_alphabet=alphabet, show_progress=False, end_of_word_suffix="</w>"
    )
    backend.train_from_iterator(captions_of_world()[0], trainer)
    merges = [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]][:MERGES]
    words = [*alphabet, *(letter + "</w>" for letter in alphabet), *("".join(pair) for pair in merges), START, END]
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys(words))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """CLIP's text tower, narrow: (B, 77) ids to (B, 77, 64)."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=TEXT_WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Token ids padded to 77: (B, 77)."""
    return tokenizer(texts, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt").input_ids


def train_text_encoder(folders: Folders) -> tuple[CLIPTokenizer, CLIPTextModel, Card]:
    """Teach every position from the end token on to tell the kind, or that the caption tells none.

    Stable Diffusion too attends mostly to those padded positions, and keeps its text encoder frozen.
    """
    torch.manual_seed(SEED)
    tokenizer = build_tokenizer()
    encoder = build_text_encoder(tokenizer)
    head = nn.Linear(TEXT_WIDTH, len(KINDS))
    optimiser = torch.optim.AdamW([*trainable(encoder), *trainable(head)], lr=2e-3, weight_decay=1e-2)
    texts, kinds, levels = captions_of_world()
    ids = tokenize(tokenizer, texts)
    callback = (kinds >= 0).float()[:, None]
    targets = callback * F.one_hot(kinds.clamp_min(0), len(KINDS)) + (1 - callback) / len(KINDS)  # (N, K)
    targets = 0.95 * targets + 0.05 / len(KINDS)
    # Each of the four levels is seen equally often, whatever the number of its captions.
    weights = 1 / torch.bincount(levels).float()[levels]

    def step_losses(_: int) -> dict[str, float]:
        rows = torch.multinomial(weights, BATCH, replacement=True)
        logits = head(encoder(ids[rows]).last_hidden_state)  # (B, 77, K)
        ended = (ids[rows] == tokenizer.eos_token_id).float()
        loss = -(targets[rows, None] * logits.log_softmax(2)).sum(2)  # (B, 77)
        loss = (loss * ended).sum() / ended.sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return {"text": loss.item()}

    card = Run(STAGE, {"encoder": encoder, "head": head}, [optimiser], STEPS, SEED).go(step_losses, folders)
    return tokenizer, encoder.eval().requires_grad_(False), card


def save_text(tokenizer: CLIPTokenizer, encoder: CLIPTextModel, sd_folder: Path) -> None:
    """Save both, the tokenizer with vocab.json and merges.txt too, which older loaders read."""
    folder = sd_folder / "tokenizer"
    tokenizer.save_pretrained(folder)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    encoder.half().save_pretrained(sd_folder / "text_encoder")
