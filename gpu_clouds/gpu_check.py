"""Whether a node's GPUs work: `nvidia-smi` lists them all, and each takes and gives back some memory.

A cloud may call a node ready whose GPUs are missing or broken; in one public report 7 of 8 hosts answered
every CUDA call with error 802. The check needs no more on the node than the driver and a python3 without
packages. Pure: the script, and the reading of what it writes.
"""

from __future__ import annotations

from dataclasses import dataclass

_MARK = "gpuplane-gpu"

# Codes of the CUDA driver's API: out of memory means that somebody uses the GPU, so it works.
_CUDA = f"""\
import ctypes, sys

def end(text):
    print("{_MARK} " + text)
    sys.exit(0)

try:
    cuda = ctypes.CDLL("libcuda.so.1")
except OSError:
    end("broken no libcuda.so.1")

def call(what, *values):
    code = getattr(cuda, what)(*values)
    if code == 2:
        return False
    if code:
        name = ctypes.c_char_p()
        cuda.cuGetErrorName(code, ctypes.byref(name))
        end("broken %s: CUDA error %d %s" % (what, code, (name.value or b"").decode()))
    return True

call("cuInit", 0)
count = ctypes.c_int()
call("cuDeviceGetCount", ctypes.byref(count))
size = 16 << 20
for number in range(count.value):
    device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    call("cuDeviceGet", ctypes.byref(device), number)
    if not call("cuCtxCreate_v2", ctypes.byref(context), 0, device):
        continue
    if call("cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t(size)):
        call("cuMemsetD8_v2", memory, ctypes.c_ubyte(1), ctypes.c_size_t(size))
        call("cuCtxSynchronize")
        call("cuMemFree_v2", memory)
    call("cuCtxDestroy_v2", context)
end("cuda %d" % count.value)
"""

GPU_SCRIPT = f"""\
if ! command -v nvidia-smi >/dev/null 2>&1; then echo '{_MARK} absent nvidia-smi'; exit 0; fi
if ! listed=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>&1); then
  echo "{_MARK} broken nvidia-smi: $(printf '%s' "$listed" | head -n 1)"; exit 0
fi
echo "{_MARK} listed $(printf '%s\\n' "$listed" | grep -c .)"
if ! command -v python3 >/dev/null 2>&1; then echo '{_MARK} absent python3'; exit 0; fi
python3 - <<'{_MARK}'
{_CUDA}{_MARK}
"""
"""For the node's `sh`. It ends with status 0 whatever it finds."""


@dataclass(frozen=True, slots=True)
class GpuFinding:
    """What the script found.

    Attributes:
        problem: What is wrong; empty where all GPUs work.
        may_pass: A startup script may still be installing what is missing.
    """

    problem: str = ""
    may_pass: bool = False


def read_answer(output: str, wanted: int) -> GpuFinding:
    """What the script's lines say.

    Args:
        output: What it wrote, perhaps among other lines.
        wanted: GPUs that the node should have.
    """
    said: dict[str, str] = {}
    for line in output.splitlines():
        word, _, rest = line.removeprefix(f"{_MARK} ").partition(" ")
        if line.startswith(f"{_MARK} "):
            said[word] = rest.strip()
    if "absent" in said:
        return GpuFinding(f"the node has no {said['absent']} yet, which the GPU check needs", may_pass=True)
    if "broken" in said:
        return GpuFinding(f"the GPUs do not work: {said['broken'][:200]}")
    for word, who in (("listed", "nvidia-smi"), ("cuda", "CUDA")):
        if word in said and said[word] != str(wanted):
            return GpuFinding(f"{who} shows {said[word]} GPU(s), not {wanted}")
    if {"listed", "cuda"} <= set(said):
        return GpuFinding()
    return GpuFinding("the GPU check ended without a result")
