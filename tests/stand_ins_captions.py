"""Tiny randomly initialised captioners, with the file names of their authors' repositories on huggingface.co."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

# Qwen2-VL's chat form, without its system line.
VISION_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHAT_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
AUDIO_TOKENS = ("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")


QWEN_VISION = {
    "Qwen2VL": {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2},
    "Qwen2_5_VL": {
        "depth": 1,
        "hidden_size": 32,
        "intermediate_size": 48,
        "out_hidden_size": 32,
        "num_heads": 2,
        "fullatt_block_indexes": [0],
    },
    "Qwen3VL": {
        "depth": 1,
        "hidden_size": 32,
        "intermediate_size": 48,
        "out_hidden_size": 32,
        "num_heads": 2,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    },
}


def write_qwen_vl(folder: Path, family: str = "Qwen2VL", *, seed: int = 0) -> Path:
    """Qwen2-VL, Qwen2.5-VL or Qwen3-VL ("Qwen3VL"), narrow: one safetensors file, the chat form in a file of its own."""
    import transformers

    tokenizer = _write_byte_tokenizer(folder, CHAT_TOKENS + VISION_TOKENS)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in CHAT_TOKENS + VISION_TOKENS}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6},
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
    }
    torch.manual_seed(seed)
    model = getattr(transformers, f"{family}ForConditionalGeneration")(
        getattr(transformers, f"{family}Config")(
            text_config=text | ({"head_dim": 8} if family == "Qwen3VL" else {}),
            vision_config=QWEN_VISION[family],
            image_token_id=ids["<|image_pad|>"],
            video_token_id=ids["<|video_pad|>"],
            vision_start_token_id=ids["<|vision_start|>"],
            vision_end_token_id=ids["<|vision_end|>"],
        )
    )
    # As the real repository has it: what a seedless captioner must not follow.
    model.generation_config.update(
        do_sample=True,
        temperature=0.9,
        top_k=50,
        top_p=0.9,
        pad_token_id=ids["<|endoftext|>"],
        eos_token_id=[ids["<|im_end|>"]],
    )
    _spread(model, seed)
    model.save_pretrained(folder)
    extractor = transformers.Qwen2VLImageProcessor(  # as large pictures as the real ones let through
        patch_size=16 if family == "Qwen3VL" else 14, size={"shortest_edge": 3136, "longest_edge": 12845056}
    )
    _write_preprocessor(folder, extractor, f"{family}Processor")
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": VISION_CHAT}))
    return folder


def write_blip(folder: Path, *, seed: int = 0) -> Path:
    """Salesforce/blip-image-captioning-base, narrow: pytorch_model.bin, no chat form, a BERT tokenizer."""
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
    )

    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "a",
        "dog",
        "cat",
        "bell",
        "rings",
        "barks",
        "in",
        "the",
        "hall",
        "red",
        "ball",
        "bounces",
        "on",
        "grass",
        "rain",
    ]
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(words)})
    torch.manual_seed(seed)
    model = BlipForConditionalGeneration(
        BlipConfig(
            text_config={
                "vocab_size": len(words) + 1,
                "hidden_size": 32,
                "encoder_hidden_size": 24,
                "intermediate_size": 48,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "max_position_embeddings": 128,
                "bos_token_id": len(words),
                "pad_token_id": 0,
                "eos_token_id": 2,
                "sep_token_id": 3,
            },
            vision_config={
                "hidden_size": 24,
                "intermediate_size": 48,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 32,
                "patch_size": 8,
            },
        )
    )
    _spread(model, seed)
    model.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    tokenizer.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    _write_preprocessor(folder, BlipImageProcessor(size={"height": 32, "width": 32}), "BlipProcessor")
    return folder


def write_qwen2_audio(folder: Path, *, seed: int = 0) -> Path:
    """Qwen/Qwen2-Audio-7B-Instruct, narrow: Whisper's features at 16 kHz, safetensors shards, no chat form in a file."""
    from transformers import (
        Qwen2AudioConfig,
        Qwen2AudioForConditionalGeneration,
        WhisperFeatureExtractor,
    )

    tokenizer = _write_byte_tokenizer(folder, CHAT_TOKENS + AUDIO_TOKENS)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in CHAT_TOKENS + AUDIO_TOKENS}
    torch.manual_seed(seed)
    model = Qwen2AudioForConditionalGeneration(
        Qwen2AudioConfig(
            audio_config={
                "model_type": "qwen2_audio_encoder",
                "num_mel_bins": 16,
                "d_model": 24,
                "encoder_layers": 1,
                "encoder_attention_heads": 2,
                "encoder_ffn_dim": 48,
                "max_source_positions": 1500,
            },
            text_config={
                "model_type": "qwen2",
                "vocab_size": len(tokenizer),
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_hidden_layers": 1,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "bos_token_id": ids["<|endoftext|>"],
                "eos_token_id": ids["<|im_end|>"],
            },
            audio_token_index=ids["<|AUDIO|>"],
        )
    )
    model.generation_config.update(
        do_sample=True, top_k=20, pad_token_id=ids["<|endoftext|>"], eos_token_id=[ids["<|im_end|>"]]
    )
    _spread(model, seed)
    model.save_pretrained(folder, max_shard_size="60KB")
    _write_preprocessor(folder, WhisperFeatureExtractor(feature_size=16), "Qwen2AudioProcessor")
    return folder


def _write_byte_tokenizer(folder: Path, special: tuple[str, ...]) -> Any:
    """Qwen2's tokenizer without merges: every byte is a token, beside these special ones."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    vocab = {word: number for number, word in enumerate([*sorted(ByteLevel.alphabet()), special[0]])}
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": list(special[1:])})
    tokenizer.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return tokenizer


def _write_preprocessor(folder: Path, extractor: Any, processor_class: str) -> None:
    """preprocessor_config.json, which names the class of the whole processor."""
    extractor.save_pretrained(folder)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"processor_class": processor_class}, indent=2))


def _spread(model: torch.nn.Module, seed: int) -> None:
    """Larger weights than the usual start, so that the words depend on what is seen and heard."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
