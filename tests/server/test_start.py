"""What the pack costs and says when ComfyUI starts."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from scripts.comfy_server import COMFYUI, LINK, ROOT, ComfyServer


def test_import_adds_at_most_three_tenths_of_a_second(tmp_path):
    """Of processor time, which other work on the machine does not stretch."""
    code = (
        f"import sys; sys.path.insert(0, {str(COMFYUI)!r}); sys.argv = ['main.py', '--cpu']\n"
        "import comfy.options; comfy.options.enable_args_parsing()\n"
        "import nodes, asyncio, time, importlib.util\n"  # what the server has imported before custom nodes come
        "import comfy_api.latest\n"
        "start = time.process_time()\n"
        f"spec = importlib.util.spec_from_file_location('pack_under_test', {str(ROOT / '__init__.py')!r},"
        f" submodule_search_locations=[{str(ROOT)!r}])\n"
        "pack = importlib.util.module_from_spec(spec); sys.modules['pack_under_test'] = pack\n"
        "spec.loader.exec_module(pack)\n"
        "extension = asyncio.run(pack.comfy_entrypoint())\n"
        "asyncio.run(extension.on_load()); asyncio.run(extension.get_node_list())\n"
        "print('SECONDS', time.process_time() - start)\n"
        "print('HEAVY', [name for name in ('diffusers', 'imagebind') if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    seconds = re.search(r"SECONDS ([\d.e-]+)", result.stdout)
    assert seconds, result.stderr[-2000:]
    assert float(seconds[1]) <= 0.3
    assert "HEAVY []" in result.stdout


def test_failed_import_of_the_pack_is_noticed(tmp_path):
    pack = tmp_path / "base" / "custom_nodes" / "broken_pack"
    pack.mkdir(parents=True)
    (pack / "__init__.py").write_text("raise ImportError('as a test')\n")
    with pytest.raises(RuntimeError, match="could not import"):
        ComfyServer(tmp_path / "base").__enter__()


def test_server_log_names_the_pack_among_the_loaded(server):
    assert re.search(rf"seconds: .*{LINK}", server.log.read_text(errors="replace"))
    assert "IMPORT FAILED" not in [line for line in server.log.read_text().splitlines() if LINK in line]
