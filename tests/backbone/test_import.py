import subprocess
import sys
from pathlib import Path


def test_importing_needs_nothing_but_torch_and_safetensors_and_no_network():
    program = """if True:
        import socket, sys

        def refuse(*_):
            raise RuntimeError("network at import")

        def packages():
            return {name.split(".")[0] for name in sys.modules}

        socket.socket.connect = socket.getaddrinfo = refuse
        for name in "cv2 scipy skimage matplotlib timm torchvision PIL tqdm jsonargparse".split():
            sys.modules[name] = None
        import torch, safetensors.torch, torch.utils.flop_counter

        before = packages()
        import backbone, backbone.convert, backbone.export, backbone.table

        print(sorted(packages() - before - sys.stdlib_module_names))
        print("backbone.download" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["['backbone']", "False"]
