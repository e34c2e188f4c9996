"""Small PE-AVs in the real on-disk layout: configurations, tokenizers and processor files, for the stand-in and the pocket one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

SPECIAL = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"}


def small_config(
    vocabulary: int, *, width: int, codec_width: int, ratios: list[int], side: int, patch: int, joint_width: int
) -> Any:
    """A PeAudioVideoConfig: `width` of all three encoders and of the embeddings, two layers each."""
    from transformers import PeAudioVideoConfig

    def layers(size: int, count: int) -> dict[str, Any]:
        return {
            "hidden_size": size,
            "intermediate_size": 2 * size,
            "num_hidden_layers": count,
            "num_attention_heads": size // 16,
            "head_dim": 16,
            "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0},
        }

    vision = {
        "architecture": "vit_pe_core_tiny_patch16_384",
        "num_classes": width,
        "do_pooling": True,
        "global_pool": "map",
        "initializer_range": 0.02,
        "model_args": {"img_size": side, "patch_size": patch, "embed_dim": width, "depth": 2, "num_heads": width // 16},
    }
    codec = {
        "model_type": "dac",
        "downsampling_ratios": ratios,
        "encoder_hidden_size": codec_width,
        "hidden_size": codec_width * 2 ** len(ratios),
        "codebook_dim": width,
    }
    text = {
        "model_type": "modernbert",
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 2,
        "num_attention_heads": width // 16,
        "vocab_size": vocabulary,
        "max_position_embeddings": 512,
        "global_attn_every_n_layers": 2,
        "pad_token_id": 3,
        "bos_token_id": 1,
        "cls_token_id": 1,
        "eos_token_id": 2,
        "sep_token_id": 2,
    }
    return PeAudioVideoConfig(
        text_config=text,
        audio_video_config={
            **layers(joint_width, 1),
            "audio_config": {**layers(width, 2), "dac_config": codec},
            "video_config": {**layers(width, 2), "vision_config": vision},
        },
    )


def small_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """A byte-level tokenizer of these texts in ModernBERT's layout; it reads any text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=list(SPECIAL.values()),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=512, **SPECIAL)


def save_folder(folder: Path, model: Any, tokenizer: Any, *, side: int, rate_hz: int, frames: int = 0) -> Path:
    """The files of a PE-AV's page on the Hub.  frames: of a segment; 0 is all."""
    from transformers import PeAudioFeatureExtractor, PeAudioVideoProcessor, PeVideoVideoProcessor

    heard = PeAudioFeatureExtractor(
        sampling_rate=rate_hz, hop_length=model.config.audio_config.audio_config.dac_config.hop_length
    )
    seen = PeVideoVideoProcessor(
        size={"height": side, "width": side},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        do_resize=True,
        do_rescale=True,
        do_normalize=True,
        do_convert_rgb=True,
        do_sample_frames=frames > 0,
        num_frames=frames or None,
    )
    model.save_pretrained(folder)
    PeAudioVideoProcessor(feature_extractor=heard, video_processor=seen, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def write_pe_av(folder: Path, *, seed: int = 0, frames: int = 0) -> Path:
    """A stand-in with random weights, at the rates and the frame size of facebook/pe-av-small, a few channels wide."""
    import torch
    from transformers import PeAudioVideoModel

    tokenizer = small_tokenizer(["a red ball bouncing", "rain on a roof"], 300)
    torch.manual_seed(seed)
    config = small_config(len(tokenizer), width=32, codec_width=4, ratios=[2, 8, 10, 12], side=336, patch=56, joint_width=16)
    return save_folder(folder, PeAudioVideoModel(config), tokenizer, side=336, rate_hz=48000, frames=frames)
