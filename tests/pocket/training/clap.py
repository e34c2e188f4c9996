"""Trains AudioLDM's text encoder (CLAP's text tower and its tokenizer) on the captions of the pocket world."""

import json
from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer
from torch import Tensor, nn
from transformers import (
    ClapTextConfig,
    ClapTextModelWithProjection,
    RobertaTokenizerFast,
)

from tests.pocket.training.common import Card, Folders, Run, trainable
from tests.pocket.training.contrast import agreement_loss, kind_targets
from tests.pocket.training.mel_vae import sound_pool
from tests.pocket.world import plan_scene
from tests.pocket.world_kinds import (
    AMBIGUOUS_CAPTIONS,
    KINDS,
    kind_index,
    partial_captions,
    precise_captions,
)

SEED_BASE = 1_200_000
STEPS = 1500
BATCH = 64
EMBEDDING = 64
MAX_TOKENS = 77
SPECIAL_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def all_captions() -> tuple[list[str], Tensor]:
    """Every caption of the world and what it says about the kind: texts, (N, K) rows that sum to 1."""
    texts: list[str] = []
    rows: list[Tensor] = []
    for index, kind in enumerate(KINDS):
        for text in (*precise_captions(kind), *partial_captions(kind)):
            texts.append(text)
            rows.append(kind_targets(torch.tensor([index]))[0])
    for text in (*AMBIGUOUS_CAPTIONS, ""):
        texts.append(text)
        rows.append(torch.full((len(KINDS),), 1 / len(KINDS)))
    return texts, torch.stack(rows)


def build_tokenizer(folder: Path) -> RobertaTokenizerFast:
    """Train a byte-level tokenizer on the captions and save it in RoBERTa's layout; any text can be encoded."""
    folder.mkdir(parents=True, exist_ok=True)
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(
        all_captions()[0], vocab_size=480, min_frequency=2, special_tokens=SPECIAL_TOKENS, show_progress=False
    )
    trainer.save_model(str(folder))
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    merges = [
        tuple(line.split(" "))
        for line in (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    tokenizer = RobertaTokenizerFast(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)
    tokenizer.save_pretrained(folder)
    return tokenizer


def build_text_encoder(vocabulary: int) -> ClapTextModelWithProjection:
    """CLAP's text tower, narrow."""
    config = ClapTextConfig(
        vocab_size=vocabulary,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        projection_dim=EMBEDDING,
        max_position_embeddings=MAX_TOKENS + 3,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        type_vocab_size=1,
    )
    return ClapTextModelWithProjection(config)


def embed(encoder: ClapTextModelWithProjection, tokenizer: RobertaTokenizerFast, texts: list[str]) -> Tensor:
    """L2-normalised text embeddings as AudioLDM conditions on them: (N, EMBEDDING)."""
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    embeddings = encoder(tokens.input_ids, attention_mask=tokens.attention_mask).text_embeds
    return nn.functional.normalize(embeddings, dim=-1)


def sound_tower() -> nn.Module:
    """The other side of the contrast, thrown away afterwards: log-mel (B, 64, T) to (B, EMBEDDING)."""
    return nn.Sequential(
        nn.Conv1d(64, 96, 7, 4, 3),
        nn.GELU(),
        nn.Conv1d(96, 96, 7, 4, 3),
        nn.GELU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.LayerNorm(96),
        nn.Linear(96, EMBEDDING),
    )


def train_clap(folders: Folders) -> Card:
    """Train tokenizer and text encoder, save both."""
    torch.manual_seed(14)
    folder = folders.out / "audioldm"
    tokenizer = build_tokenizer(folder / "tokenizer")
    encoder, tower = build_text_encoder(len(tokenizer)), sound_tower()
    _, mels = sound_pool(SEED_BASE, 1000, 2.0)
    kinds = torch.tensor([kind_index(plan_scene(SEED_BASE + i).kind) for i in range(len(mels))])
    texts, meanings = all_captions()
    optimiser = torch.optim.AdamW([*trainable(encoder), *trainable(tower)], 1e-3, weight_decay=1e-3)

    def step_losses(_: int) -> dict[str, float]:
        rows, words = torch.randint(len(mels), (BATCH,)), torch.randint(len(texts), (BATCH,))
        words[:3] = len(texts) - 1 - torch.randint(len(AMBIGUOUS_CAPTIONS) + 1, (3,))
        heard = nn.functional.normalize(tower((mels[rows].transpose(1, 2) + 5) / 3), dim=-1)
        read = embed(encoder, tokenizer, [texts[i] for i in words.tolist()])
        loss = agreement_loss(heard, read, kind_targets(kinds[rows]), meanings[words])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trainable(encoder), 1.0)
        optimiser.step()
        return {"contrast": loss.item()}

    run = Run("clap", {"encoder": encoder, "tower": tower}, [optimiser], STEPS, seed=14)
    card = run.go(step_losses, folders)
    encoder.half().save_pretrained(folder / "text_encoder")
    return card
