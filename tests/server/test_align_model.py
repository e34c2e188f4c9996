"""Align Model on small models of ComfyUI's own classes with random weights, under its own samplers."""

from __future__ import annotations

import pytest

from scripts.comfy_server import COMFYUI, ROOT
from tests.server.own_process import run_script

FAMILIES = ["stable_audio", "stable_audio_3", "ace_step", "pictures", "wan", "ltx_av"]
SMOOTH = ["stable_audio", "pictures", "wan"]  # in double precision throughout, and without kinks


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Of one process for all, which imports ComfyUI once."""
    return run_script("align_native.py", COMFYUI, ROOT, tmp_path_factory.mktemp("native"), *FAMILIES, "samplers", timeout=1200)


@pytest.mark.xdist_group("align_native")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_comfyui_is_guided(family, reports):
    report = reports[family]
    assert len(report["losses"]) == 5
    for losses in report["losses"]:
        assert losses[-1] < losses[0]
    assert report["moved"] > 0.01
    assert report["off"] and report.get("no targets", True)  # to the bit
    assert report["again"]
    assert report["cancel"] == "cancelled" and report["after cancel"]
    assert report["batch"] == [True, False]  # the first sample does not see the second
    assert report["twice"] > 0.01  # both count
    assert not report["run kept"]
    assert max(report["gradient"]) < (1e-5 if family in SMOOTH else 1e-2)


@pytest.mark.xdist_group("align_native")
def test_every_sampler_goes_on_from_the_guided_x0(reports):
    report = reports["samplers"]
    for name in ("euler", "dpmpp_2m", "heun", "uni_pc", "lcm", "euler_ancestral", "half"):
        unguided, guided, looks = report[name]
        assert guided < unguided, name
        assert looks == (7 if name == "heun" else 4)  # two at each step but the last
    outside, inside = report["masked"]
    assert outside < 1e-5 < inside  # what the mask keeps is kept
    assert report["trace"] == "4"
    assert max(report["compiled"]) < 1e-3


def test_bad_input_is_named(tmp_path):
    report = run_script("bad_native_input.py", COMFYUI, ROOT, tmp_path, timeout=600)
    refused = report["refused"]
    assert refused["another model's VAE"].startswith(
        "vae: received MusicDCAE, for latents of 8 channels; expected a VAE for this"
    )
    assert refused["a sound's VAE for pictures"].startswith("vae: received AudioOobleckVAE, for latents of 64 channels")
    assert refused["two VAEs of sound"].startswith("vae and audio_vae: received AudioVAE and AudioVAE")
    assert refused["event times"].startswith("event times: received")
    assert refused["too short"].startswith("latent: received 0.19 s of sound; expected 0.3 s or more")
    assert refused["no weight"].startswith("targets: received 1 targets that all have weight 0")
    assert refused["fp8"].startswith("vae: received AudioOobleckVAE with weights in float8_e4m3fn; expected a VAE in fp32")
    assert refused["GGUF"].startswith("vae: received AudioOobleckVAE with weights in uint8; expected a VAE in fp32")
    assert refused["no gradients"].startswith("vae: received WanVAE, which lets no gradients through")
    assert refused["NaN"].startswith("model: received NaN or infinite values in what it makes")
    assert refused["another latent"].startswith("latent: received one that no sampler made with this model")
    assert refused["pictures for sound"].startswith("vae: received AutoencoderKL, which decodes to pictures")
    for name, (count, made_s, frame_s, seconds) in report["lengths"].items():
        assert count == 2 and seconds == 11 / 8
        assert seconds <= made_s < seconds + frame_s, name
    memory = report["memory"]
    assert memory["enough"] == memory["once"] == "taken"
    assert memory["enough, latent frames"][0] == 4 and memory["once, latent frames"][:5] == [4, 1, 2, 2, 2]  # in smaller pieces
    assert memory["always"].startswith("memory: received a task too large for this machine") and "tiny VAE" in memory["always"]


def test_nothing_lies_on_the_wrong_device_and_a_guided_step_waits_once(tmp_path):
    """The loss, which has to be finite, is read once a step; the preview shows the same number."""
    report = run_script("align_on_pretended_device.py", COMFYUI, ROOT, tmp_path, "wan", "ltx_av", timeout=600)
    for family, found in report.items():
        there, here = found["losses"]
        assert there[0] == pytest.approx(here[0], rel=1e-5) and there[1] == pytest.approx(here[1], rel=1e-3), family
        assert found["guided steps"] == len(there) == 4
        assert len(found["waits"]) == 3 and all(wait.startswith("loop.py:") for wait in found["waits"]), (
            family,
            found["waits"],
        )
