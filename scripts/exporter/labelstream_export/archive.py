"""Writes TorchScript files without what only a debugger reads."""

from __future__ import annotations

import io
from pathlib import Path

import torch

# Left out: the lines of source code, half the size of a small model and full of the paths of the
# machine that wrote it; and the example that was traced.
LEFT_OUT_ENDS = (".debug_pkl",)
LEFT_OUT_STARTS = ("traced_inputs",)
# Where libtorch keeps the version that the operators in use require: one name or the other.
VERSION = ("version", ".data/version")
WRITTEN_BY_WRITER = (*VERSION, "byteorder", ".data/serialization_id")


def write_module(module: torch.jit.ScriptModule, path: Path) -> None:
    """Saves the module, less its debug records and traced example.

    Args:
        path: its stem becomes the name of the archive's top folder, as with ``torch.jit.save``.
    """
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    buffer.seek(0)
    reader = torch._C.PyTorchFileReader(buffer)
    writer = torch._C.PyTorchFileWriter(str(path))
    for name in reader.get_all_records():
        if name in VERSION:
            writer.set_min_version(int(reader.get_record(name)))
        elif not (
            name in WRITTEN_BY_WRITER
            or name.endswith(LEFT_OUT_ENDS)
            or name.startswith(LEFT_OUT_STARTS)
        ):
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
