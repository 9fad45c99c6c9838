"""What is known of GPUs: memory, bandwidth, rates, precision, rent.

Rates are dense, of matrix products with float32 sums, as NVIDIA's data sheets and architecture white papers have them
(GeForce: the white papers' "FP16 Tensor with FP32 accumulate"), written from memory; products in float32 are the plain
ones, without TF32. `memory` is
what PyTorch reports as the total, as in its out-of-memory messages: less than the name says. Rent is a typical price of
a cloud on demand, only there to give an idea: `--price` takes your own.
"""

from dataclasses import dataclass

from pairwright.errors import ConfigError

RUNPOD = "RunPod on demand, by deploybase.ai, 2026-03"
GCP = "Google Cloud us-central1, GPU alone, list price, 2025"
AWS = "AWS g5.xlarge us-east-1, on demand, 2025"
LAMBDA = "Lambda on demand, list price, 2025"


@dataclass(frozen=True)
class Gpu:
    name: str
    title: str
    memory: float
    """GiB that PyTorch reports."""
    bandwidth: float
    """GB/s."""
    half: float
    """TFLOP/s in float16; in bfloat16 too where `bf16`."""
    single: float
    """TFLOP/s in float32."""
    capability: float
    price: float | None
    """Dollars an hour."""
    price_source: str = ""

    @property
    def bf16(self) -> bool:
        """In hardware, and FlashAttention with it: compute capability 8 on."""
        return self.capability >= 8

    @property
    def total(self) -> int:
        return int(self.memory * 2**30)

    @property
    def context(self) -> int:
        """Bytes that the CUDA context, its kernels and cuBLAS' workspace take outside of PyTorch's count. Not measured
        here: 0.4 to 0.6 GiB are reported for these generations; the larger is planned with."""
        return int(0.6 * 2**30)


GPUS = (
    Gpu("t4", "Tesla T4, 16 GB", 14.56, 320, 65, 8.1, 7.5, 0.35, GCP),
    Gpu("v100-16", "V100 SXM2, 16 GB", 15.77, 900, 125, 15.7, 7.0, 2.48, GCP),
    Gpu("v100-32", "V100 SXM2, 32 GB", 31.73, 900, 125, 15.7, 7.0, None),
    Gpu("rtx2080ti", "GeForce RTX 2080 Ti, 11 GB", 10.57, 616, 53.8, 13.4, 7.5, None),
    Gpu("rtx3060", "GeForce RTX 3060, 12 GB", 11.63, 360, 25.3, 12.7, 8.6, None),
    Gpu("rtx3090", "GeForce RTX 3090, 24 GB", 23.56, 936, 71, 35.6, 8.6, 0.39, RUNPOD),
    Gpu("rtx4060ti", "GeForce RTX 4060 Ti, 16 GB", 15.57, 288, 44.1, 22.1, 8.9, None),
    Gpu("rtx4070", "GeForce RTX 4070, 12 GB", 11.60, 504, 58.3, 29.1, 8.9, None),
    Gpu("rtx4080", "GeForce RTX 4080, 16 GB", 15.57, 717, 97.5, 48.7, 8.9, None),
    Gpu("rtx4090", "GeForce RTX 4090, 24 GB", 23.52, 1008, 165.2, 82.6, 8.9, 0.60, RUNPOD),
    Gpu("rtx5090", "GeForce RTX 5090, 32 GB", 31.36, 1792, 209.5, 104.8, 12.0, 1.22, RUNPOD),
    Gpu("a10g", "A10G, 24 GB", 21.98, 600, 70, 35, 8.6, 1.006, AWS),
    Gpu("l4", "L4, 24 GB", 21.95, 300, 121, 30.3, 8.9, 0.78, RUNPOD),
    Gpu("a40", "A40, 48 GB", 44.34, 696, 149.7, 37.4, 8.6, None),
    Gpu("a6000", "RTX A6000, 48 GB", 47.40, 768, 154.8, 38.7, 8.6, 0.80, LAMBDA),
    Gpu("l40s", "L40S, 48 GB", 44.31, 864, 362, 91.6, 8.9, 1.40, RUNPOD),
    Gpu("a100-40", "A100, 40 GB", 39.38, 1555, 312, 19.5, 8.0, 1.29, LAMBDA),
    Gpu("a100-80", "A100 SXM, 80 GB", 79.14, 2039, 312, 19.5, 8.0, 2.45, RUNPOD),
    Gpu("h100", "H100 SXM, 80 GB", 79.08, 3350, 989, 66.9, 9.0, 4.76, RUNPOD),
    Gpu("h200", "H200 SXM, 141 GB", 139.71, 4800, 989, 66.9, 9.0, 6.35, RUNPOD),
)


def find(name: str) -> Gpu:
    """The GPU of that name. Raises ConfigError with the names that there are."""
    plain = name.lower().replace(" ", "").replace("_", "-").removesuffix("gb")
    plain = {"a100": "a100-80", "v100": "v100-16", "h100-80": "h100", "h200-141": "h200"}.get(plain, plain)
    for gpu in GPUS:
        if plain in (gpu.name, gpu.name.replace("-", "")):
            return gpu
    raise ConfigError(f"--gpu {name} is not known; there are {', '.join(gpu.name for gpu in GPUS)}")


def cpu(memory: int) -> Gpu:
    """A CPU with `memory` bytes, for a plan of memory; its rate is not known."""
    return Gpu("cpu", "this CPU", memory / 2**30, 0, 0, 0, 0, None)
