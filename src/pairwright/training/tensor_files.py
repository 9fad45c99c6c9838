"""Tensors in a safetensors file: written tensor by tensor, read through the safetensors library.

Why not the library's own writer: it copies everything into memory first, refuses tensors that share memory, and
writes past the seam of files.py. The format is public: 8 bytes (header length, little-endian), a JSON header
{name: {dtype, shape, data_offsets}}, then the tensors' bytes without gaps.

What it leaves out: sharing itself (two names of one tensor are written twice and read as two tensors), sparse and
quantised layouts, big-endian machines.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pairwright.errors import CheckpointError, NonFiniteError
from pairwright.training.files import read_start

HEADER_LIMIT = 8 << 20
"""Bytes of JSON header accepted: some 70,000 tensors. A larger one is damaged or hostile."""

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class TensorFile:
    """A safetensors file that is not written yet."""

    header: bytes
    tensors: tuple[Tensor, ...]
    """In the order of the file."""

    @property
    def size(self) -> int:
        return len(self.header) + sum(tensor.numel() * tensor.element_size() for tensor in self.tensors)

    def chunks(self) -> Iterator[bytes | memoryview]:
        """The file's bytes. One tensor at a time is brought to the CPU."""
        yield self.header
        for tensor in self.tensors:
            if tensor.numel():
                flat = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
                yield flat.view(torch.uint8).numpy().data


def plan_tensor_file(group: str, tensors: Mapping[str, Tensor]) -> TensorFile:
    """Header and order of the file for `tensors`; checks everything that can be wrong with them before any writing.

    Raises CheckpointError for what the format cannot hold, NonFiniteError for NaN or infinity.
    """
    for name, tensor in tensors.items():
        _check(group, name, tensor)
    # Wide types first keeps every tensor aligned, and the order does not depend on the caller's.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    entries, offset = {}, 0
    for name, tensor in ordered:
        end = offset + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_LIMIT:
        raise CheckpointError(f"{group}: {len(entries):,} tensors make a header of {len(text):,} bytes, too long")
    return TensorFile(len(text).to_bytes(8, "little") + text, tuple(tensor for _, tensor in ordered))


def _check(group: str, name: str, tensor: Tensor) -> None:
    where = f"{group}/{name}"
    if name == "__metadata__":
        raise CheckpointError(f"{where}: this name is reserved by the safetensors format; rename the tensor")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise CheckpointError(f"{group}/{name!r}: a tensor's name must be valid Unicode") from None
    if tensor.dtype not in DTYPES or tensor.layout != torch.strided or tensor.is_meta:
        kind = "meta" if tensor.is_meta else str(tensor.layout).removeprefix("torch.")
        raise CheckpointError(f"{where}: a {kind} tensor of type {tensor.dtype} cannot be saved as safetensors")
    if tensor.numel() and (tensor.is_floating_point() or tensor.is_complex()):
        real = torch.view_as_real(tensor.detach().resolve_conj()) if tensor.is_complex() else tensor.detach()
        if real.element_size() == 1:
            real = real.float()
        # The smallest and largest element carry every NaN and infinity, without a second tensor of this size.
        low, high = (float(value) for value in torch.aminmax(real))
        if not (abs(low) < float("inf") and abs(high) < float("inf")):
            raise NonFiniteError(f"{where}: values from {low} to {high}; a state that is not finite is never saved")


def read_tensor_file(path: Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU, in memory of their own (not mapped from the file, which may be pruned later).

    Raises CheckpointError where the file is not strict safetensors.
    """
    _check_header(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as handle:
            return {name: handle.get_tensor(name).clone() for name in handle.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a valid safetensors file ({error})") from error


def _check_header(path: Path) -> None:
    start, size = read_start(path, 8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(HEADER_LIMIT, size - 8):
        raise CheckpointError(f"{path}: the header claims {length:,} bytes in a file of {size:,}")
